/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KASAN's shadow, an eighth of all memory, holds no pointers.  arm64 tells kmemleak
 * so, x86 does not.
 */
#include <linux/memblock.h>

#undef MEMBLOCK_ALLOC_ACCESSIBLE
#define MEMBLOCK_ALLOC_ACCESSIBLE MEMBLOCK_ALLOC_NOLEAKTRACE
