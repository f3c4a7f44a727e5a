/* bee: what the commands on bees have in common: which bee, which part of it, how keys and values are written, and pages of entries. */
#ifndef HF_CLI_BEE_H
#define HF_CLI_BEE_H

#include "cli/remote.h"
#include "data/hyperbee/sub.h"

struct hf_cli_bee {
	struct hf_cli *cli;
	json_t *arguments; /* of an action: which core, and at which version */
	unsigned next;     /* the first argument after KEY */
	enum hf_bee_encoding key_encoding, value_encoding;
	struct hf_bee_sub sub;
	bool has_sub;
};
/* KEY or --name, --sub, --key-encoding, --value-encoding, --at. False: what is wrong has been said, and the exit code is HF_CLI_USAGE. */
bool hf_cli_bee_read(struct hf_cli *cli, struct hf_cli_bee *bee);
void hf_cli_bee_free(struct hf_cli_bee *bee); /* zeroed is fine */

/* The data directory, or with --tcp the bee at a peer, by remote. False: why has been said, and *code is the exit code. */
bool hf_cli_bee_open(const struct hf_cli_bee *bee, struct hf_cli_remote *remote, struct hf_cli_target *target, int *code);

/* ---- Text (bee_text.c) ---- */

/* Appends the bytes that a text means. HF_EMALFORMED: it is not of that encoding; HF_ENOMEM. */
int hf_cli_bee_parse(enum hf_bee_encoding encoding, struct hf_slice text, struct hf_buffer *out);
/* Appends how bytes are written: as one JSON value; or as a line of text can have it. HF_EMALFORMED, HF_ENOMEM. */
int hf_cli_bee_write_json(enum hf_bee_encoding encoding, struct hf_slice bytes, struct hf_buffer *out);
int hf_cli_bee_write_text(enum hf_bee_encoding encoding, struct hf_slice bytes, struct hf_buffer *out);

/* The same of values that say their own type (bee_any.c). */
int hf_cli_bee_parse_any(struct hf_slice text, struct hf_buffer *out);
int hf_cli_bee_write_any(struct hf_slice bytes, struct hf_buffer *out);

/* A change as a line of JSON: {"key", "value", "type"}; other members are passed by. Key and value are appended to *out. */
struct hf_cli_bee_line {
	size_t key_bytes;
	json_int_t value_bytes; /* or HF_ACTION_BEE_… */
};
int hf_cli_bee_parse_line(const struct hf_cli_bee *bee, struct hf_slice text, bool is_del, struct hf_buffer *out,
	struct hf_cli_bee_line *line);

/* The key as the bee has it, with the sub's prefix, of a text: appended. */
int hf_cli_bee_key(const struct hf_cli_bee *bee, struct hf_slice text, struct hf_buffer *out);
const char *hf_cli_bee_encoding_name(enum hf_bee_encoding encoding);

/* ---- Pages (bee_read.c) ---- */

struct hf_cli_bee_entry {
	json_int_t seq;
	struct hf_slice key, value; /* key as the bee has it */
	json_int_t value_bytes;     /* or HF_ACTION_BEE_… */
};
/* Zero-initialise; free at the end. */
struct hf_cli_bee_page {
	struct hf_buffer out;
	json_t *head, *entries;
	size_t at, next;
	uint64_t version, fork;
	bool more;
};
int hf_cli_bee_page(struct hf_cli_target *target, const char *action, const json_t *arguments, struct hf_slice data,
	struct hf_cli_bee_page *page, struct hf_failure *failure);
/* HF_ENOTFOUND at the end of the page. */
int hf_cli_bee_next(struct hf_cli_bee_page *page, struct hf_cli_bee_entry *entry);
void hf_cli_bee_page_free(struct hf_cli_bee_page *page);

#endif
