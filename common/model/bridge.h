/*
 * bridge.h - encoders from and to files of other programs.
 *
 * In: safetensors with the names of torchvision's and timm's ResNets, also below a prefix
 * ("backbone."), and pickles of dm-haiku parameters such as the checkpoints that the SemPPL paper's
 * authors published (https://github.com/google-deepmind/semppl): an array of theirs may have a
 * leading axis of devices, of which the first counts, and convolutions are HWIO. Out: safetensors.
 *
 * An entry is a tensor of a ResNet, or of something like one, under the name that it has in a
 * checkpoint ("layer1.0.conv1.weight").
 */
#ifndef SEMPPL_BRIDGE_H
#define SEMPPL_BRIDGE_H

#include "common/data/tensors.h"
#include "common/model/state.h"

#define BRIDGE_NAME 96

struct bridge_entry {
    char name[BRIDGE_NAME];
    size_t item; /* in tensors.item */
};

struct bridge {
    struct tensors tensors;
    struct bridge_entry *entry; /* in name order, no name twice */
    size_t n, room;
    bool *used; /* [tensors.n] an entry that bridge_fill() took, or of no use to anyone */
    bool haiku; /* a pickle, else PyTorch's conventions */
};

/* -EINVAL (worded) if nothing in the file looks like a ResNet. */
int bridge_open(struct bridge *b, const char *path);
void bridge_release(struct bridge *b);

/*
 * Settings of a run for this encoder: encoder, width, sk, stem and shortcut from the shapes;
 * padding, size, mean, deviation and crop as bridge_export() noted them, else padding torch for
 * PyTorch's conventions and same for Haiku's; all others of the preset, -1: cifar for a small stem,
 * else imagenet. -EINVAL (worded, with the nearest encoder) if no settings make these tensors.
 */
int bridge_settings(const struct bridge *b, int preset, struct settings *set);

/*
 * The encoder's numbers into arenas of net, and how often its running statistics were updated; if
 * the file does not say, BRIDGE_SETTLED. -EINVAL (worded) if one is missing, has another shape or
 * is not finite.
 */
enum { BRIDGE_SETTLED = 1000 }; /* a next batch then counts as settings' bn_decay says */
int bridge_fill(struct bridge *b, const struct net *net, float *param, float *running,
                int64_t *updates);

/*
 * Writes the encoder of s (of state_network_from_ckpt(), which c is) as safetensors that
 * torchvision's load_state_dict() takes, fc aside. -EUSAGE (worded) where torchvision has no such
 * network, unless as_is. A warning says what torchvision computes otherwise.
 */
int bridge_export(const struct state *s, bool target, const struct ckpt *c, const char *path,
                  bool as_is);

/* -- between bridge*.c ---- */

/* Metadata of what bridge_export() wrote: who did, and the settings of the encoder's input. */
#define BRIDGE_PRODUCER "producer"
enum { BRIDGE_RECIPE = 9 };
extern const char *const bridge_recipe[BRIDGE_RECIPE];

/* Lists the entries, sorted. */
int bridge_list(struct bridge *b);

#endif
