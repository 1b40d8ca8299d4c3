// SPDX-License-Identifier: GPL-2.0-only
/* Two lines of a section: the names, the values. */

#include <stdlib.h>
#include <string.h>

#include "snmp.h"

long snmp_tcp(FILE *snmp, const char *name)
{
	char names[1024], values[1024], *n, *v, *sn, *sv;
	long value = -1;

	while (value < 0 && fgets(names, sizeof(names), snmp) &&
	       fgets(values, sizeof(values), snmp)) {
		if (strncmp(names, "Tcp:", 4))
			continue;
		n = strtok_r(names, " \n", &sn);
		v = strtok_r(values, " \n", &sv);
		while (n && v && strcmp(n, name)) {
			n = strtok_r(NULL, " \n", &sn);
			v = strtok_r(NULL, " \n", &sv);
		}
		if (n && v)
			value = atol(v);
	}
	fclose(snmp);
	return value;
}
