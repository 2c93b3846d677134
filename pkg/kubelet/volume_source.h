/* The contents of volumes that come from the API, gathered as a payload. */
#ifndef KATENA_KUBELET_VOLUME_SOURCE_H
#define KATENA_KUBELET_VOLUME_SOURCE_H

#include "kubelet/volume.h"
#include "kubelet/volume_payload.h"

/* Adds what a volume source of kind "configMap", "secret", "downwardAPI", "projected" or (in a projection)
 * "serviceAccountToken" shows. mode is used where the source has none. */
int volume_source_add(struct payload *payload, const struct volume_context *context, const char *kind,
                      const json_t *source, unsigned mode, struct err *err);

#endif
