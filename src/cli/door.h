/* door: how a gateway that runs is asked: at the admin.sock of its data directory, or with --url over HTTP, with a token, signed with a
 * Nostr key, or with a certificate (docs/administration.md). */
#ifndef HF_CLI_DOOR_H
#define HF_CLI_DOOR_H

#include "cli/command.h"
#include "crypto/secret.h"

/* The options of commands that may ask over HTTP. */
#define HF_CLI_DOOR_OPTIONS \
	"url=URL\0a gateway elsewhere, https://host, instead of the one of --data", \
	"token-file=FILE\0with --url: the token that lets in there", \
	"nostr-key=FILE\0with --url: an nsec1… or 64 hex digits, to sign requests with instead", \
	"certificate=FILE\0with --url: PEM file with a certificate to show instead", \
	"certificate-key=FILE\0with --certificate: PEM file with its key", \
	"ca=FILE\0with --url: PEM file with the certificates to trust instead of the system's"

/* Without --url: admin.sock is there, which who was killed leaves behind. */
bool hf_cli_door_is_there(const struct hf_cli *cli);
static inline bool hf_cli_door_is_remote(const struct hf_cli *cli) { return hf_cli_option(cli, "url") != NULL; }

struct hf_cli_question {
	const char *what;           /* after /admin/ */
	const char *content_type;   /* NULL: GET, and no body */
	struct hf_slice body;
	uint32_t timeout_ms, answer_bytes_max;
};
/* *status and *out (appended to) are set when 0 is returned, whatever the status is. */
int hf_cli_door_ask(struct hf_cli *cli, const struct hf_cli_question *question, unsigned *status, struct hf_buffer *out,
	struct hf_failure *failure);
/* The key in a file, an nsec1… or 64 hex digits, into a secret of 32 bytes. */
int hf_cli_read_nostr_key(struct hf_cli *cli, const char *path, struct hf_secret *secret, struct hf_failure *failure);
/* The failure that an answer's body tells of. */
int hf_cli_door_refusal(struct hf_slice body, unsigned status, struct hf_failure *failure);

#endif
