/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore nodes of a disposable: what the guest's frontends, the
 * backends, xenconsoled and xl look for (docs/misc/xenstore-paths.pandoc in
 * Xen's tree; what libxl 4.17 writes for a PVH domain).
 */
#ifndef RS_NODES_H
#define RS_NODES_H

#include <stddef.h>

#include "include/seam/store.h"
#include "restore/launch/domain.h"

struct rs_nodes {
	struct store_node *nodes;
	size_t nr;
	char *text;		/* what the nodes point into */
};

/* The trees of a domain, to remove when it is gone, those that xl has written
 * for one that was booted too; the one with its name last, by which what is
 * left is found. */
#define RS_NODES_TREES 6
struct rs_nodes_trees {
	char text[RS_NODES_TREES][96];
	const char *paths[RS_NODES_TREES];
	size_t nr;
};

/* channels: what load_state gave.  Caller frees with rs_nodes_free(). */
int rs_nodes_make(const struct rs_domain *d,
    const struct hv_channels *channels, struct rs_nodes *n, struct err *e);
void rs_nodes_free(struct rs_nodes *n);

void rs_nodes_trees(const struct rs_domain *d, struct rs_nodes_trees *t);

/* Where a vbd's backend says its state; path holds 96 bytes. */
void rs_nodes_vbd_state_path(const struct rs_domain *d,
    const struct rs_vbd *vbd, char *path);

#endif
