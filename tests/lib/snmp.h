/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers out of /proc/net/snmp. */
#ifndef SNMP_H
#define SNMP_H

#include <stdio.h>

/* A value of the Tcp section, -1 if it has none of that name; closes @snmp */
long snmp_tcp(FILE *snmp, const char *name);

#endif /* SNMP_H */
