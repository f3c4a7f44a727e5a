/* actions: what an operator can have done with the store, the same whether a command line tool does it on a free data
 * directory or asks a running gateway through admin.sock. So the output is the same, too.
 *
 * An action is called on a thread that may wait. Its input is one line of JSON, an object of arguments, and after it
 * data of its own, a line each:
 *
 *   relay/stats    {"relay"}             what a relay holds
 *   relay/count    {"relay"}             data: filters; how many events they match together
 *   relay/scan     {"relay", "limit"}    data: filters; the matching events, newest first within each filter
 *   relay/export   {"relay", "from"}     events in order of arrival from a position on; the last line is {"next": POSITION} when
 *                                        a page was full, else {"next": null}
 *   relay/import   {"relay"}             data: events; what became of them
 *   relay/rebuild  {"relay"}             the index is made anew from the log
 *   relay/info     {"relay"}             who the relay is, and of its bee the key, version and how far it is behind; null without one
 *   relay/rebuild-bee {"relay"}          the bee's rows are made anew, by the gateway: at once, or when it starts; {"begun"}
 *   store/stats, store/verify, store/compact, store/backup {"directory"}
 *   audit/export   {"from"}              records of the audit log from a number on, a line each; the last line is {"next": NUMBER} when a
 *                                        page was full, else {"next": null} with what audit/verify gives
 *   audit/tail     {"count"}             the newest records, oldest first, a line each
 *   audit/verify                         {"sound", "from", "records", "head", "fault"}: the first number, how many, the newest one's hash
 *
 * Those on cores name the core by {"key"}, or by {"name", "namespace"}, and take {"encryption_key"} in hexadecimal:
 *
 *   core/create    {"manifest", "secret_key_file", "compat", "manifest_version"}; neither name nor key material: a new key pair
 *   core/info, core/list                 what it is, or a line for each
 *   core/append    {"sizes", "disk"}     data: the blocks, one after the other; "sizes" says how long each is
 *   core/get       {"from", "to", "partial"}  a line {"sizes", "to", "length", "fork"}, and after it as many blocks as a page has.
 *                                        partial: a block that is not here ends the page, which may be empty; else it is HF_ENOTFOUND as
 *                                        its first
 *   core/seek      {"bytes"}             {"block", "offset"}
 *   core/truncate  {"length", "fork"}
 *   core/clear     {"from", "to"}
 *   core/verify    {"from"}              reads blocks held from there on, a bounded number; {"next"} is where to go on, or null
 *
 * Those on bees name the core in the same way:
 *
 *   bee/create     as core/create; a core that is new gets the header of a bee
 *   bee/info       as core/info, with the version and what the header says
 *   bee/change     {"sizes", "if", "if_absent", "skip_same", "disk"}  data: the value that "if" expects, as long as that says; then
 *                                        for each change its key and value. "sizes" has two numbers for each: how long the key is, and
 *                                        how long the value, or HF_ACTION_BEE_NULL, or HF_ACTION_BEE_NOTHING for a del. All become one
 *                                        batch. How many were {"put", "deleted", "refused", "missing", "same"}, and {"version"}
 *   bee/get        {"at"}                data: a key
 *   bee/list       {"at", "gt", "gte", "lt", "lte", "reverse", "limit"}  bounds in hexadecimal
 *   bee/diff       {"from", "at"} and a range  two entries for each key that differs: as it was in version "from", and as it is
 *   bee/history    {"at", "gt", "gte", "lt", "lte", "reverse", "limit"}  bounds are blocks
 *
 * These give a line {"version", "fork", "entries", "more"}, and after it the entries' keys and values. "entries" has three numbers
 * for each: its block, how long its key is, and its value as in "sizes". "more": the page was full.
 *
 * Those on drives name the drive by {"key"}, or by {"name"}: the drive of the namespace of that name, as
 * `new Hyperdrive(store.namespace(name))` has it; or by {"namespace"}. Paths are names of files (data/hyperdrive/name.h); "at" is a
 * version. An entry is an object {"path", "seq", "executable", "link", "blob", "metadata"}; "path_hex" stands for a path that is not
 * UTF-8, and "unreadable" for what is no entry.
 *
 *   drive/create   as core/create
 *   drive/info     as core/info, with the version and the core of the blobs
 *   drive/change   {"files", "batch", "disk"}  each file an object {"path"} and "size" of its content, which follows in data; or "blob",
 *                                        "link", or "del": true; with "executable", "metadata" (text of JSON). "mode": true: the file
 *                                        that is there, but for "executable", as it was. batch: one batch of the bee rather than
 *                                        one for each. {"put", "deleted", "missing", "version"}
 *   drive/write    {"blob", "end", "note"}  data: bytes of a file that is too long for drive/change, which go on from "blob" as it was
 *                                        answered, or begin a new one. All but the last of them are a multiple of 64 KiB. note: text
 *                                        by which drive/unfinished finds it again. {"blob"}
 *   drive/unfinished  {"note"}           {"blob"} as far as drive/write had come with that note, or null
 *   drive/clear    {"paths"}             {"cleared"}
 *   drive/truncate {"version"}           {"version", "fork", "blobs_length"}
 *   drive/list     {"folder", "shallow", "after", "limit", "ignore", "at"}  a page of entries, a line each; the last line is {"next"},
 *                                        to be given as "after", hexadecimal, or null. shallow: "child" and "is_folder" say what is in
 *                                        the folder
 *   drive/entry    {"path", "follow", "at"}  the entry
 *   drive/get      {"path", "follow", "at"} or {"blob"}, and {"start", "length"}  a line {"size", "start"}, and after it the bytes, as
 *                                        many as a page has
 *   drive/diff     {"folder", "from", "at", "after"}  a page of {"before", "after"}, entries or null; the last line is {"next"}
 *
 * scan and export give lines of events, list lines of cores, all others one JSON object.
 */
#ifndef HF_SERVICE_ACTIONS_H
#define HF_SERVICE_ACTIONS_H

#include <jansson.h>

#include "data/corestore.h"
#include "data/hyperbee/bee.h"
#include "service/config.h"
#include "store/store.h"

#define HF_ACTION_INPUT_BYTES_MAX (8u << 20)
#define HF_ACTION_KIND_COUNT_MAX 20         /* kinds that relay/stats lists */
#define HF_ACTION_FAULT_COUNT_MAX 1000      /* sentences that a result lists; further ones are only counted */

#define HF_ACTION_BEE_NULL (-1)             /* in place of a value's length: null */
#define HF_ACTION_BEE_NOTHING (-2)          /* a deletion, or no entry */

struct hf_action_call {
	struct hf_env *env;
	struct hf_store *store;
	struct hf_executor *executor;           /* for signature checks of an import */
	const struct hf_config *config;
	struct hf_corestore *cores;             /* of the calling thread, blocking; NULL: one is opened for the call */
	struct hf_slice input;
	size_t page_bytes_max;                  /* of an export; 0: all in one */
	/* Takes *out away when it has grown; NULL: all is left in out. A negative return ends the action. */
	int (*flush)(void *context, struct hf_buffer *out);
	void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
	/* Lets peers bring a block that is waited for: called again and again until it is here; a negative return gives up. NULL: what is not
	 * here is an error. */
	int (*turn)(void *context, struct hf_failure *failure);
	struct hf_bee_hinter *hinter;           /* of bees that are opened; may be NULL */
	void *context;
	struct hf_buffer out;                   /* the result; freed by the caller */
	struct hf_failure failure;
};

/* Opens the corestore of config's data directory: with the primary key of its key ring, which is made when it is missing, and otherwise
 * as the options say. */
int hf_action_open_cores(struct hf_corestore **out, const struct hf_corestore_options *options, const struct hf_config *config,
	struct hf_failure *failure);

bool hf_action_is_on_cores(const char *name); /* it takes call->cores */

/* The answer of relay/info. identity may be NULL: not known; bee: there is none. */
struct hf_relay_bee_facts;
json_t *hf_action_relay_facts(const char *relay, const uint8_t *identity, const struct hf_relay_bee_facts *bee, bool is_running);

/* HF_OK, or the error with its sentence in failure; for store/verify HF_ECORRUPT with a result.
 * HF_ENOTFOUND: there is no such action or relay. */
int hf_action_run(const char *name, struct hf_action_call *call);

#endif
