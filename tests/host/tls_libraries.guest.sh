#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tls_libraries.sh's half in the guest: what OpenSSL and GnuTLS see of a
# connection that was reset with the peer's close_notify unread: first that
# word, a clean end, and then that a write fails.  Without close_notify the end
# is not a clean one, as ever.
# Runs as root in a guest of the lab; prints TAP.
set -eu

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh

ip link set lo up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-subj /CN=server -keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null

# client.py LIBRARY VERSION WORD FOLDER [CIPHER]: over loopback; the server closes, its last word
# being close_notify or nothing.  Prints the answer, what the client's socket
# becomes, and what its library says to the next read and, unless that was no
# clean end, to a write.
cat >"$tmp/client.py" <<'END'
import ctypes
import socket
import ssl
import sys
import threading
import time

library, version, word, tmp, *cipher = sys.argv[1:]
# CCM8 counts as weak in OpenSSL 3.5
cipher = [f"{suite}:@SECLEVEL=0" for suite in cipher]


def serve(listener):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tmp}/cert.pem", f"{tmp}/key.pem")
    context.minimum_version = context.maximum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if cipher:
        context.set_ciphers(cipher[0])
    server = context.wrap_socket(listener.accept()[0], server_side=True)
    server.recv(100)
    server.send(b"answer")
    time.sleep(1)
    if word == "close_notify":
        server.setblocking(False)
        try:
            server.unwrap()     # does not wait for the other's
        except ssl.SSLWantReadError:
            pass
    server.close()


class OpenSSL:
    def __init__(self, sock):
        context = ssl.create_default_context()
        context.options &= ~0x80        # OP_IGNORE_UNEXPECTED_EOF
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if cipher:
            context.set_ciphers(cipher[0])
        self.tls = context.wrap_socket(sock, suppress_ragged_eofs=False)

    def read(self):
        try:
            return self.tls.recv(100).decode() or "close_notify"
        except (ssl.SSLError, ConnectionResetError):
            return "ragged"     # since 3.5 it has written an alert about it

    def write(self):
        try:
            return str(self.tls.send(b"question"))
        except OSError:
            return "fails"


class GnuTLS:
    CLIENT, CERTIFICATE = 2, 1
    AGAIN, PREMATURE_TERMINATION = -28, -110

    def __init__(self, sock):
        self.lib = ctypes.CDLL("libgnutls.so.30")
        self.lib.gnutls_record_recv.restype = ctypes.c_ssize_t
        self.lib.gnutls_record_send.restype = ctypes.c_ssize_t
        self.session = ctypes.c_void_p()
        credentials = ctypes.c_void_p()
        self.lib.gnutls_init(ctypes.byref(self.session), self.CLIENT)
        self.lib.gnutls_set_default_priority(self.session)
        self.lib.gnutls_certificate_allocate_credentials(
            ctypes.byref(credentials))
        self.lib.gnutls_credentials_set(self.session, self.CERTIFICATE,
                                        credentials)
        self.lib.gnutls_transport_set_int2(self.session, sock.fileno(),
                                           sock.fileno())
        if self.lib.gnutls_handshake(self.session) < 0:
            sys.exit("no handshake")

    def read(self):
        buffer = ctypes.create_string_buffer(100)
        n = self.AGAIN
        while n == self.AGAIN:          # TLS 1.3's tickets come first
            n = self.lib.gnutls_record_recv(self.session, buffer, 100)
        if n == self.PREMATURE_TERMINATION:
            return "ragged"
        if n < 0:
            return str(n)
        return buffer.raw[:n].decode() or "close_notify"

    def write(self):
        n = self.lib.gnutls_record_send(self.session, b"question", 8)
        return "fails" if n < 0 else str(n)


def state(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


listener = socket.create_server(("127.0.0.1", 443))
server = threading.Thread(target=serve, args=[listener])
server.start()
sock = socket.create_connection(listener.getsockname())
fd = socket.socket(fileno=sock.fileno())        # stays when OpenSSL takes it
client = {"openssl": OpenSSL, "gnutls": GnuTLS}[library](sock)
client.write()
said = [client.read()]
server.join()
end = time.time() + 5
while state(fd) != 7 and time.time() < end:
    time.sleep(0.02)
said.append({7: "CLOSE", 8: "CLOSE_WAIT"}[state(fd)])
said.append(client.read())
if said[-1] != "ragged":
    said.append(client.write())
print(*said)
fd.detach()
END

# says WANT LIBRARY VERSION WORD [CIPHER]
says()
{
	local got

	got=$(python3 "$tmp/client.py" "${@:2:3}" "$tmp" "${@:5}") &&
	echo "$got" &&
	[ "$got" = "$1" ]
}

for library in openssl gnutls; do
	for version in 1.2 1.3; do
		name="$library, TLS $version"
		check "$name: without a rule, the write succeeds" \
			says 'answer CLOSE_WAIT close_notify 8' \
			"$library" "$version" close_notify
		iptables -t mangle -A INPUT -p tcp --sport 443 -j HALFRST
		check "$name: reset, close_notify is read, the write fails" \
			says 'answer CLOSE close_notify fails' \
			"$library" "$version" close_notify
		check "$name: reset, without close_notify: no clean end" \
			says 'answer CLOSE ragged' \
			"$library" "$version" nothing
		iptables -t mangle -F INPUT
	done
done
# close_notify is as long as the cipher suite has it
for suite in AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-CCM AES128-CCM8 \
	CHACHA20-POLY1305 AES128-SHA AES128-SHA256 AES256-SHA384 \
	CAMELLIA256-SHA384; do
	check "TLS 1.2, $suite: without a rule, the write succeeds" \
		says 'answer CLOSE_WAIT close_notify 8' \
		openssl 1.2 close_notify "ECDHE-ECDSA-$suite"
	iptables -t mangle -A INPUT -p tcp --sport 443 -j HALFRST
	check "TLS 1.2, $suite: reset, close_notify is read, the write fails" \
		says 'answer CLOSE close_notify fails' \
		openssl 1.2 close_notify "ECDHE-ECDSA-$suite"
	iptables -t mangle -F INPUT
done
echo "1..$n"
[ $failed -eq 0 ]
