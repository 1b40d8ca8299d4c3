<?php
// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same as web.py by PHP's curl or by a program over PHP's streams:
 * web.php phpcurl|phpstreams URL PAUSE METHOD,METHOD...
 */

[, $name, $url, $pause, $methods] = $argv;

class Failure extends Exception
{
	public function __construct(string $words, public bool $again = false)
	{
		parent::__construct($words);
	}
}

/* One handle, which looks at its connection before it uses it again */
function phpcurl(): callable
{
	$handle = curl_init();

	return function (string $method, string $url) use ($handle): int {
		curl_reset($handle);
		curl_setopt($handle, CURLOPT_URL, $url);
		curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
		curl_setopt($handle, CURLOPT_CAINFO, getenv('SSL_CERT_FILE'));
		if ($method === 'POST')
			curl_setopt($handle, CURLOPT_POSTFIELDS, 'hello');
		if (curl_exec($handle) === false)
			throw new Failure(curl_error($handle));
		return curl_getinfo($handle, CURLINFO_RESPONSE_CODE);
	};
}

/*
 * An application's own connection, which it does not look at. "fwrite" is
 * false "on failure": nothing was sent, and it is sent again on a new
 * connection. No answer to a GET: likewise.
 */
function phpstreams(): callable
{
	$kept = null;

	return function (string $method, string $url) use (&$kept): int {
		$host = parse_url($url, PHP_URL_HOST);
		$tls = parse_url($url, PHP_URL_SCHEME) === 'https';
		$body = $method === 'POST' ? 'hello' : '';
		$request = $method . ' ' . parse_url($url, PHP_URL_PATH) .
			" HTTP/1.1\r\nHost: $host\r\nContent-Length: " .
			strlen($body) . "\r\n\r\n$body";

		$kept ??= stream_socket_client(
			$tls ? "tls://$host:443" : "tcp://$host:80");
		if (@fwrite($kept, $request) !== strlen($request)) {
			$why = error_get_last()['message'] ?? 'short';
			$kept = null;
			throw new Failure($why, true);
		}
		$status = fgets($kept);
		if ($status === false) {
			$kept = null;
			throw new Failure('fgets: no answer', $method === 'GET');
		}
		for ($length = 0; ($line = rtrim(fgets($kept))) !== '';)
			if (preg_match('/^content-length: (\d+)/i', $line, $m))
				$length = (int)$m[1];
		if ($length)
			stream_get_contents($kept, $length);
		return (int)explode(' ', $status)[1];
	};
}

/* What the user would be told, or nothing */
function attempt(callable $client, string $method, string $url): ?string
{
	try {
		$status = $client($method, $url);
		return $status === 200 ? null : "HTTP $status";
	} catch (Failure $e) {
		return ($e->again ? 'again: ' : '') . preg_replace('/\s+/', ' ',
			$e->getMessage());
	}
}

$client = $name();
foreach (explode(',', $methods) as $n => $method) {
	if ($n)
		usleep($pause * 1000000);
	$errors = [];
	$start = hrtime(true);
	for ($i = 0; $i < 3; $i++) {
		$error = attempt($client, $method, "$url/$n");
		if ($error === null)
			break;
		$errors[] = $error;
	}
	$took = sprintf('%.1f', (hrtime(true) - $start) / 1e6);
	echo implode("\t", [$n, $method, $took, ...$errors]), "\n";
}
