# SPDX-License-Identifier: GPL-2.0-only
#
# make                     the module for the running kernel, and the extension
# make KDIR=/path/to/build ... for the kernel whose build folder that is
# make install             DESTDIR= is honoured; uninstall takes it back
# make kmi-symbols         what the module needs of the kernel, as a symbol list
#                          of Android's GKI
# make demo|check|bench    see the scripts of these names
# make deb                 Debian packages, in build/deb

KDIR		?= /lib/modules/$(shell uname -r)/build
PKG_CONFIG	?= pkg-config
MANDIR		?= /usr/share/man
INSTALL		?= install
DEPMOD		?= depmod
CFLAGS		?= -O2 -g
ifeq ($(origin CC),default)
CC		:= $(CROSS_COMPILE)gcc
endif
NM		?= $(CROSS_COMPILE)nm

# What uname -r will say: Debian's include/config/kernel.release differs
UTSRELEASE	= $(KDIR)/include/generated/utsrelease.h
REL		= $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(UTSRELEASE))
RELDIR		= $(DESTDIR)/lib/modules/$(REL)
XTLIBDIR	= $(shell $(PKG_CONFIG) --variable=xtlibdir xtables)
MODULE		:= kmod/xt_HALFRST.ko
EXT		:= xtables-ext/libxt_HALFRST.so
MAN		:= xtables-ext/libxt_HALFRST.man

all: modules ext

modules: have-headers
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

ext: $(EXT)

$(EXT): xtables-ext/libxt_HALFRST.c kmod/xt_HALFRST.h | have-xtables
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wall -Wextra -fPIC -Ikmod \
		$(shell $(PKG_CONFIG) --cflags xtables) \
		-shared $(LDFLAGS) -o $@ $< \
		$(shell $(PKG_CONFIG) --libs xtables)

install: install-modules install-ext

install-modules: modules
	$(INSTALL) -D -m 644 $(MODULE) $(RELDIR)/updates/xt_HALFRST.ko
	$(DEPMOD) $(if $(DESTDIR),-b $(DESTDIR)) $(REL)

install-ext: ext
	$(INSTALL) -D -m 644 $(EXT) $(DESTDIR)$(XTLIBDIR)/libxt_HALFRST.so
	$(INSTALL) -D -m 644 $(MAN) $(DESTDIR)$(MANDIR)/man8/libxt_HALFRST.8

# depmod's index files are ours to remove where no other module is: in a
# staging folder.
uninstall: have-headers have-xtables
	rm -f $(RELDIR)/updates/xt_HALFRST.ko \
		$(DESTDIR)$(XTLIBDIR)/libxt_HALFRST.so \
		$(DESTDIR)$(MANDIR)/man8/libxt_HALFRST.8
	if [ -d $(RELDIR)/updates ]; then \
		rmdir --ignore-fail-on-non-empty $(RELDIR)/updates; fi
	if find $(RELDIR)/ -name '*.ko*' 2>/dev/null | grep -q .; then \
		$(DEPMOD) $(if $(DESTDIR),-b $(DESTDIR)) $(REL); \
	elif [ -n "$(DESTDIR)" ]; then \
		rm -f $(RELDIR)/modules.*; \
	fi

# The kernel's own clean walks everything below M: never let it into build/,
# where whole root file systems are kept.
clean:
	if [ -e $(KDIR)/Makefile ]; then \
		$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod clean; fi
	if [ -e tests/Makefile ]; then $(MAKE) -C tests clean; fi
	rm -f $(EXT) modules.order Module.symvers .*.cmd *.o kmod/*.o \
		kmod/.*.cmd kmod/*.o.d kmod/*.ko kmod/*.mod kmod/*.mod.c \
		kmod/modules.order
	rm -rf .tmp_versions

# The undefined symbols, and nothing else on stdout
kmi-symbols:
	@$(MAKE) modules >&2
	@echo '[abi_symbol_list]'
	@$(NM) -u $(MODULE) | awk '{ print "  " $$NF }' | LC_ALL=C sort -u

demo check bench:
	./scripts/$@

# From a copy: what is built leaves nothing here.
DEB		:= build/deb

deb:
	rm -rf $(DEB)
	mkdir -p $(DEB)/xt-halfrst
	tar -c --exclude-vcs --exclude-vcs-ignores --exclude=./build . | \
		tar -x -C $(DEB)/xt-halfrst
	cd $(DEB)/xt-halfrst && dpkg-buildpackage -us -uc
	rm -r $(DEB)/xt-halfrst
	lintian --allow-root --fail-on error,warning $(DEB)/*.changes

have-headers:
	@[ -e $(UTSRELEASE) ] || { \
		echo "$(KDIR): no kernel headers there." \
			"Debian: apt install linux-headers-$$(uname -r);" \
			"another kernel: make KDIR=/lib/modules/.../build" >&2; \
		exit 1; }

have-xtables:
	@$(PKG_CONFIG) --exists xtables || { \
		echo "$(PKG_CONFIG) finds no xtables.pc." \
			"Debian: apt install libxtables-dev pkg-config" >&2; \
		exit 1; }

.PHONY: all modules ext install install-modules install-ext uninstall clean \
	demo check bench deb have-headers have-xtables
