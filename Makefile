# SPDX-License-Identifier: GPL-2.0-only
#
# make                     the modules for the running kernel, and the extension
# make KDIR=/path/to/build ... for the kernel whose build folder that is
# make install             DESTDIR= is honoured; uninstall takes it back
# make LLVM=1 ...          with clang, as the kernel was built; LLVM=-16 and
#                          LLVM=/path/ as in the kernel's own Makefile
# make kmi-symbols         what the modules need of the kernel, as a symbol list
#                          of Android's GKI
# make ddk-defines         what Kleaf's ddk_module() has to be told about the
#                          kernel; KDIR may be a source tree
# make demo|check|bench    see the scripts of these names
# make install-service     rules that stay, see xtables-ext/service/rules
# make deb                 Debian packages, in build/deb
#
# make KERNEL_SRC=... M=... O=... [modules|modules_install|clean]
#                          handed on to the kernel's make: so call Android's
#                          Kleaf and build.sh
#
# A kernel without xtables gets the module for nft alone, one without conntrack
# the target's. HALFRST_XTABLES=n and CONFIG_NF_CONNTRACK_HALFRST=n leave one out.

ifneq ($(KERNEL_SRC),)

M		?= $(CURDIR)
# Android has no nft, and a symbol that its module lacks would stop the build
CONFIG_NF_CONNTRACK_HALFRST ?= n

modules modules_install:
	$(MAKE) -C $(KERNEL_SRC) M=$(M) \
		CONFIG_NF_CONNTRACK_HALFRST=$(CONFIG_NF_CONNTRACK_HALFRST) $@

# The kernel's own clean walks everything below M, see below
clean:
	$(MAKE) -C $(KERNEL_SRC) M=$(M)/kmod $@
	cd $(or $(O),$(KERNEL_SRC)) && cd $(M) && rm -f modules.order \
		Module.symvers .modules.order.cmd .Module.symvers.cmd

.PHONY: modules modules_install clean

else

KDIR		?= /lib/modules/$(shell uname -r)/build
PKG_CONFIG	?= pkg-config
MANDIR		?= /usr/share/man
SBINDIR		?= /usr/sbin
UNITDIR		?= /lib/systemd/system
INSTALL		?= install
DEPMOD		?= depmod
CFLAGS		?= -O2 -g
ifneq ($(LLVM),)
llvm		= $(filter %/,$(LLVM))$(1)$(filter -%,$(LLVM))
COMPILER	:= $(call llvm,clang)
ifneq ($(CROSS_COMPILE),)
COMPILER	+= --target=$(notdir $(CROSS_COMPILE:%-=%))
endif
NM		?= $(call llvm,llvm-nm)
else
COMPILER	:= $(CROSS_COMPILE)gcc
NM		?= $(CROSS_COMPILE)nm
endif
ifeq ($(origin CC),default)
CC		:= $(COMPILER)
endif

# What uname -r will say: Debian's include/config/kernel.release differs
UTSRELEASE	= $(KDIR)/include/generated/utsrelease.h
REL		= $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(UTSRELEASE))
RELDIR		= $(DESTDIR)/lib/modules/$(REL)
XTLIBDIR	= $(shell $(PKG_CONFIG) --variable=xtlibdir xtables)
# One of them, or both
MODULES		:= kmod/xt_HALFRST.ko kmod/nf_conntrack_halfrst.ko
BUILT		:= $$(sed 's,.*kmod/,kmod/,; s,\.k*o$$,.ko,' modules.order)
EXT		:= xtables-ext/libxt_HALFRST.so
SERVICE		:= xtables-ext/service
MAN		:= xtables-ext/libxt_HALFRST.man
# Of /usr/libexec/halfrst
COMMANDS	:= close-wait firewalld metrics pods rules sweep

all: modules ext

modules: have-headers
	@[ -e $(KDIR)/Module.symvers ] || [ -n "$(KBUILD_MODPOST_WARN)" ] || \
		echo "$(KDIR) has no Module.symvers, so it is not built, only" \
			"prepared. For modules without versions:" \
			"make KBUILD_MODPOST_WARN=1 ..." >&2
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

ext: $(EXT)

$(EXT): xtables-ext/libxt_HALFRST.c kmod/xt_HALFRST.h | have-xtables
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wall -Wextra -fPIC -Ikmod \
		$(shell $(PKG_CONFIG) --cflags xtables) \
		-shared $(LDFLAGS) -o $@ $< \
		$(shell $(PKG_CONFIG) --libs xtables)

install: install-modules install-ext

install-modules: modules
	$(INSTALL) -d $(RELDIR)/updates
	$(INSTALL) -m 644 $(BUILT) $(RELDIR)/updates
	$(DEPMOD) $(if $(DESTDIR),-b $(DESTDIR)) $(REL)

install-ext: ext
	$(INSTALL) -D -m 644 $(EXT) $(DESTDIR)$(XTLIBDIR)/libxt_HALFRST.so
	$(INSTALL) -D -m 644 $(MAN) $(DESTDIR)$(MANDIR)/man8/libxt_HALFRST.8

# Rules that are there already stay as they are
install-service:
	$(INSTALL) -d $(DESTDIR)$(UNITDIR) $(DESTDIR)/etc/halfrst \
		$(DESTDIR)/usr/libexec/halfrst $(DESTDIR)$(SBINDIR) \
		$(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 755 $(COMMANDS:%=$(SERVICE)/%) $(DESTDIR)/usr/libexec/halfrst
	$(INSTALL) -m 755 $(SERVICE)/halfrst-status $(DESTDIR)$(SBINDIR)
	ln -sf libxt_HALFRST.8 $(DESTDIR)$(MANDIR)/man8/halfrst-status.8
	$(INSTALL) -m 644 $(SERVICE)/*.service $(SERVICE)/*.timer $(DESTDIR)$(UNITDIR)
	for f in rules.v4 rules.v6 rules.nft pods.v4 pods.v6 pods.nft pods.skip; do \
		[ -e $(DESTDIR)/etc/halfrst/$$f ] || $(INSTALL) -m 644 \
			$(SERVICE)/$$f $(DESTDIR)/etc/halfrst || exit; \
	done

# depmod's index files are ours to remove where no other module is: in a
# staging folder.
uninstall: have-headers have-xtables
	rm -f $(MODULES:kmod/%=$(RELDIR)/updates/%) \
		$(DESTDIR)$(XTLIBDIR)/libxt_HALFRST.so \
		$(DESTDIR)$(MANDIR)/man8/libxt_HALFRST.8 \
		$(DESTDIR)$(MANDIR)/man8/halfrst-status.8 \
		$(DESTDIR)$(SBINDIR)/halfrst-status \
		$(patsubst $(SERVICE)/%,$(DESTDIR)$(UNITDIR)/%,$(wildcard \
		$(SERVICE)/*.service $(SERVICE)/*.timer))
	rm -rf $(DESTDIR)/usr/libexec/halfrst
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

# The undefined symbols of the target, and nothing else on stdout. Android has no
# nft: CONFIG_NF_CONNTRACK_HALFRST=m for that module's as well. It is there for
# kernels that lack some: modpost only warns. An older module must not be taken
# for this one.
kmi-symbols: have-headers
	@! grep -qsx 'CONFIG_NETFILTER_XT_TARGET_HALFRST=y' \
		$(KDIR)/include/config/auto.conf || { \
		echo "$(KDIR): HALFRST is built into this kernel (=y), there is" \
			"no module that a symbol list would be for" >&2; \
		exit 1; }
	@rm -f $(MODULES)
	@$(MAKE) KBUILD_MODPOST_WARN=1 CONFIG_NF_CONNTRACK_HALFRST=$(or \
		$(CONFIG_NF_CONNTRACK_HALFRST),n) modules >&2
	@[ -e $(firstword $(MODULES)) ] || { \
		echo "$(KDIR): no $(firstword $(MODULES)) was built" >&2; \
		exit 1; }
	@symbols=$$($(NM) $(BUILT)) || { \
		echo "$(NM): cannot read the module" >&2; exit 1; }; \
	echo '[abi_symbol_list]'; \
	echo "$$symbols" | awk ' \
		NF == 2 && $$1 ~ /^[Uvw]$$/ { wanted[$$2] } \
		NF == 3 { defined[$$3] } \
		END { for (s in wanted) if (!(s in defined)) print "  " s }' | \
		LC_ALL=C sort

# What kmod/Kbuild finds out by itself, as a line of Starlark
ddk-defines:
	@[ -e $(KDIR)/include/net/sock.h ] || { \
		echo "$(KDIR): no kernel source there" >&2; exit 1; }
	@$(MAKE) -s --no-print-directory -f kmod/Kbuild srctree=$(KDIR) \
		--eval 'defines: ; @echo $$(patsubst -D%,%,$$(ccflags-y))' \
		defines | sed -e 's/[^ ][^ ]*/"&"/g' -e 's/ /, /g' \
		-e 's/.*/local_defines = [&],/'

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

# Another architecture's kernel, or one that clang builds, is nobody's package
have-headers:
	@[ -e $(UTSRELEASE) ] || [ -z "$(ARCH)$(LLVM)$(CROSS_COMPILE)" ] || { \
		echo "$(KDIR): no prepared kernel there. In its source, with" \
			"the device's own configuration if it has one:" >&2; \
		echo "  make $(strip $(foreach v,ARCH LLVM LLVM_IAS CROSS_COMPILE,$(if \
			$($(v)),$(v)=$($(v))))) gki_defconfig modules_prepare" >&2; \
		exit 1; }
	@[ -e $(UTSRELEASE) ] || { \
		echo "$(KDIR): no kernel headers there." \
			"Another kernel: make KDIR=/lib/modules/.../build" >&2; \
		echo "  apt install linux-headers-$$(uname -r)" >&2; \
		echo "  dnf install kernel-devel-$$(uname -r)" >&2; \
		echo "  pacman -S linux-headers" >&2; \
		echo "  apk add linux-lts-dev" >&2; \
		echo "  zypper install kernel-default-devel" >&2; \
		exit 1; }

have-xtables:
	@$(PKG_CONFIG) --exists xtables || { \
		echo "$(PKG_CONFIG) finds no xtables.pc." >&2; \
		echo "  apt install libxtables-dev pkg-config" >&2; \
		echo "  dnf install iptables-devel pkgconf-pkg-config" >&2; \
		echo "  pacman -S iptables pkgconf" >&2; \
		echo "  apk add iptables-dev pkgconf" >&2; \
		echo "  zypper install libxtables-devel pkg-config" >&2; \
		exit 1; }

.PHONY: all modules ext install install-modules install-ext install-service \
	uninstall clean \
	kmi-symbols ddk-defines demo check bench deb have-headers have-xtables

endif
