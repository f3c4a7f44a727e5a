/* table: all commands, in the order in which --help lists them. */
#include "cli/table.h"

#include <stdio.h>

#include "cli/door.h"

static int print_version(struct hf_cli *cli)
{
	if (cli->json)
		printf("{\"version\":\"%s\",\"store_format\":%d}\n", HF_VERSION, 1);
	else
		printf("holdfast %s\n", HF_VERSION);
	return HF_CLI_OK;
}

static const char *const doctor_options[] = {"strict\0warnings count as faults do, for the exit code", NULL};
static const char *const door_options[] = {HF_CLI_DOOR_OPTIONS, NULL};
static const char *const door_relay_options[] = {"relay=NAME\0the relay instance; main when left out", HF_CLI_DOOR_OPTIONS, NULL};
static const char *const audit_tail_options[] = {"count=COUNT\0so many records; 20 when left out", HF_CLI_DOOR_OPTIONS, NULL};
static const char *const page_options[] = {"limit=COUNT\0at most so many; all when left out",
	"after=KEY\0only those behind this one in the order of keys", HF_CLI_DOOR_OPTIONS, NULL};
static const char *const relay_options[] = {"relay=NAME\0the relay instance; main when left out", NULL};
static const char *const revoke_options[] = {"id=HEX\0the token of that id", "peer=HEX\0those that this peer had issued",
	"user=HEX\0those of this Nostr key", "reason=TEXT\0told to who holds them", HF_CLI_DOOR_OPTIONS, NULL};
static const char *const relay_join_options[] = {"nostr-key=FILE\0the Nostr key that is to be a member, an nsec1… or 64 hex digits",
	"bootstrap=HOST:PORT\0a node to begin with; again for others; swarm.bootstrap when left out", NULL};
static const char *const scan_options[] = {"relay=NAME\0the relay instance; main when left out",
	"limit=COUNT\0at most so many events a filter", NULL};

#define OF_CORE \
	"name=NAME\0the core that was made with this name, instead of KEY", "namespace=HEX\0the name's namespace; the root's when left out"
#define OF_SEALED OF_CORE, "encryption-key=HEX\0the key of an encrypted core, 32 bytes"

#define OF_SWARM "bootstrap=HOST:PORT\0find peers by the key, in the network of this node; again for others; \"public\" is everybody's", \
	"relay=KEY\0connect through this blind relay where no direct way can be found"

static const char *const core_options[] = {OF_CORE, NULL};
static const char *const sealed_options[] = {OF_SEALED, NULL};
static const char *const create_options[] = {"name=NAME\0derive the key pair from the store's primary key and this name",
	"namespace=HEX\0the name's namespace; the root's when left out", "manifest-version=1|2\0of the manifest that is made; 1 when left out",
	"compat\0make the key as hypercore did before version 11",
		"manifest=HEX\0an encoded manifest; a key of the ring signs, if it is named there",
	"secret-key-file=FILE\0the Ed25519 key pair to sign with, 64 bytes or hexadecimal", "encryption-key=HEX\0encrypt the blocks with it",
		NULL};
static const char *const append_options[] = {OF_SEALED, "file=FILE\0append the file, as one block",
	"block-size=SIZE\0cut the input into blocks of this size rather than into lines", "disk\0wait for the disk with each batch",
	"tcp=HOST:PORT\0serve the cores there meanwhile, and until interrupted", OF_SWARM, "initiator\0begin the handshake with those who dial",
	"responder\0let those who dial begin the handshake, as usual", NULL};
#define OF_CONNECTION "tcp=HOST:PORT\0the address; listening, port 0 is any that is free", OF_SWARM, \
	"initiator\0begin the handshake; who dials does when left out", "responder\0let the other side begin the handshake"
static const char *const serve_options[] = {OF_CONNECTION, "connect\0dial the address rather than listen on it, again and again", NULL};
static const char *const fetch_options[] = {OF_CONNECTION, "listen\0wait for a peer to dial rather than dial",
	"blocks=A..B,C\0these blocks rather than all",
	"live\0follow the core until interrupted, and serve it", "serve=HOST:PORT\0with --live: listen there for others, too",
	"timeout=SECONDS\0give up when nothing came for so long; 30 when left out",
	"encryption-key=HEX\0the key of an encrypted core, 32 bytes", NULL};
static const char *const get_options[] = {OF_SEALED, "lines\0end each block with a newline",
	"encoding=base64|hex\0of blocks in JSON; base64 when left out", NULL};
static const char *const tail_options[] = {OF_SEALED, "from=INDEX\0the first block; the last ten when left out",
	"follow\0go on as blocks come",
	"raw\0no newline after each block", "encoding=base64|hex\0of blocks in JSON; base64 when left out", NULL};
static const char *const truncate_options[] = {OF_CORE, "fork=NUMBER\0the new fork's number; the next when left out", NULL};

#define OF_REMOTE "tcp=HOST:PORT\0read the bee at this peer, and only what is looked at", OF_SWARM, \
	"initiator\0begin the handshake, as usual", "responder\0let the other side begin the handshake", \
	"timeout=SECONDS\0give up when nothing came for so long; 30 when left out"
#define OF_BEE OF_SEALED, "sub=NAME\0keys of this sub-database; again for one within it"
#define OF_ENCODINGS "key-encoding=ENCODING\0binary (hexadecimal), utf-8 (when left out), json, or any", \
	"value-encoding=ENCODING\0the same for values"
#define OF_RANGE "gt=KEY\0keys above it", "gte=KEY\0keys from it on", "lt=KEY\0keys below it", "lte=KEY\0keys up to it"
#define OF_CHANGE OF_BEE, OF_ENCODINGS, "jsonl\0lines are JSON objects with key, value and, for a del, \"type\":\"del\"", \
	"batch=COUNT\0commit so many lines at a time; 1000 when left out", "if=VALUE\0only if the key has this value now", \
	"disk\0wait for the disk with each batch"

static const char *const put_options[] = {OF_CHANGE, "if-absent\0only keys that are not there",
	"skip-same\0leave a key that has the value already", "file=FILE\0the value is what the file holds", NULL};
static const char *const del_options[] = {OF_CHANGE, NULL};
static const char *const bee_get_options[] = {OF_BEE, OF_ENCODINGS, "at=VERSION\0as the bee was then",
	"raw\0the bytes of the value alone", OF_REMOTE, NULL};
static const char *const list_options[] = {OF_BEE, OF_ENCODINGS, OF_RANGE, "reverse\0from the last key to the first",
	"limit=COUNT\0at most so many", "at=VERSION\0as the bee was then", OF_REMOTE, NULL};
static const char *const diff_options[] = {OF_BEE, OF_ENCODINGS, OF_RANGE, "limit=COUNT\0at most so many", OF_REMOTE, NULL};
static const char *const watch_options[] = {OF_BEE, OF_ENCODINGS, OF_RANGE, OF_REMOTE, NULL};
static const char *const history_options[] = {OF_SEALED, OF_ENCODINGS, "gt=BLOCK\0changes after this block; -10: the tenth from the end",
	"gte=BLOCK\0from this block on", "lt=BLOCK\0before this block", "lte=BLOCK\0up to this block", "reverse\0the latest first",
	"limit=COUNT\0at most so many", "at=VERSION\0as the bee was then", OF_REMOTE, NULL};
static const char *const bee_fetch_options[] = {OF_CONNECTION, "listen\0wait for a peer to dial rather than dial",
	"live\0follow the bee until interrupted, and serve it", "serve=HOST:PORT\0with --live: listen there for others, too",
	"timeout=SECONDS\0give up when nothing came for so long; 30 when left out",
	"encryption-key=HEX\0the key of an encrypted bee, 32 bytes", NULL};

#define OF_DRIVE "name=NAME\0the drive that was made with this name, instead of KEY", \
	"namespace=HEX\0the drive of this namespace; with --name, within it", "encryption-key=HEX\0the key of an encrypted drive, 32 bytes"
#define OF_REMOTE_DRIVE "tcp=HOST:PORT\0read the drive at this peer, and only what is looked at", OF_SWARM, \
	"initiator\0begin the handshake, as usual", "responder\0let the other side begin the handshake", \
	"listen\0wait for the peer to dial rather than dial", "timeout=SECONDS\0give up when nothing came for so long; 30 when left out"

static const char *const drive_create_options[] = {"name=NAME\0derive the key pair from the store's primary key and this name",
	"namespace=HEX\0the namespace that the name is in; the root's when left out",
	"manifest-version=1|2\0of the manifest that is made; 1 when left out",
	"compat\0make the key as hypercore did before version 11",
	"manifest=HEX\0an encoded manifest; a key of the ring signs, if it is named there",
	"secret-key-file=FILE\0the Ed25519 key pair to sign with, 64 bytes or hexadecimal",
	"encryption-key=HEX\0encrypt both cores with it", NULL};
static const char *const drive_options[] = {OF_DRIVE, NULL};
static const char *const drive_put_options[] = {OF_DRIVE, "executable\0mark the file as executable, as a FILE that is one always is",
	"metadata=JSON\0keep this with the file", "link=TARGET\0put a symbolic link to TARGET", "disk\0wait for the disk", NULL};
static const char *const drive_get_options[] = {OF_DRIVE, "at=VERSION\0as the drive was then",
	"start=BYTE\0from this byte on, counted from 0",
	"length=BYTES\0so many bytes", OF_REMOTE_DRIVE, NULL};
static const char *const drive_ls_options[] = {OF_DRIVE, "recursive\0all files below the folder, with their whole paths",
	"ignore=PATH\0leave out this file or folder; again for others", "at=VERSION\0as the drive was then", OF_REMOTE_DRIVE, NULL};
static const char *const drive_diff_options[] = {OF_DRIVE, "folder=PATH\0only what is below it", OF_REMOTE_DRIVE, NULL};
static const char *const drive_watch_options[] = {OF_DRIVE, OF_REMOTE_DRIVE, NULL};
static const char *const drive_mirror_options[] = {OF_DRIVE, "to=FOLDER\0make this folder what the drive is",
	"from=FOLDER\0make the drive what this folder is", "keep\0remove nothing that the source does not have",
	"dry-run\0only say what would be done", "verbose\0say what is done", "ignore=PATH\0leave out this file or folder; again for others",
	"at=VERSION\0with --to: as the drive was then", "disk\0wait for the disk with each file", OF_REMOTE_DRIVE, NULL};
static const char *const drive_fetch_options[] = {OF_REMOTE_DRIVE, "encryption-key=HEX\0the key of an encrypted drive, 32 bytes",
	"all\0all blocks of both cores, those of old versions, too", "live\0as --all, and follow the drive until interrupted, and serve it", NULL};

#define OF_DHT "bootstrap=HOST:PORT\0a node to begin with; again for others; swarm.bootstrap when left out", \
	"host=ADDRESS\0the IPv4 address to bind to; 0.0.0.0 when left out", "port=PORT\0the port to bind to"
#define OF_SEED "seed=HEX\0the seed of the key pair, 32 bytes; a new key pair when left out"

static const char *const dht_options[] = {OF_DHT, NULL};
static const char *const dht_serve_options[] = {OF_DHT, "address=ADDRESS[:PORT]\0where others see it: the first node of a network",
	"persistent\0keep records as soon as its address is known", "ephemeral\0never keep records",
	"open\0it can be reached from anywhere; do not check",
	"relay\0be a blind relay for peers who cannot reach each other; prints its key",
	"relay-sessions=COUNT\0peers who may use the relay at a time; 1,024 when left out",
	"relay-rate=SIZE\0what each stream may carry in a second, each way; 4 MiB when left out",
	"metrics=ADDRESS:PORT\0tell Prometheus at this loopback address; nowhere when left out", NULL};
static const char *const dht_testnet_options[] = {
	"nodes=COUNT\0so many; 10 when left out", "port=PORT\0of the first; any when left out", NULL};
static const char *const dht_lookup_options[] = {OF_DHT, "peer\0TOPIC is a peer's public key: say where it is announced",
	"core\0TOPIC is the key of a core: look up its discovery key", NULL};
static const char *const dht_announce_options[] = {OF_DHT, OF_SEED, "relay=HOST:PORT\0a node that the peer is reached through; up to three",
	"core\0TOPIC is the key of a core: announce at its discovery key", "remove\0take the announce back rather than make it", NULL};
static const char *const dht_put_options[] = {OF_DHT, OF_SEED, "mutable\0put it under the key that signs it rather than under its hash",
	"seq=NUMBER\0with --mutable: higher than that of the value before; 0 when left out", NULL};
static const char *const dht_get_options[] = {OF_DHT, "mutable\0KEY is the public key that signed the value, not its hash",
	"seq=NUMBER\0with --mutable: nothing with a lower number", NULL};

const struct hf_cli_command hf_cli_commands[] = {
	{"gateway", hf_cli_gateway, "", 0, NULL, true, "Serve the relays",
		"Prints what to open and runs until SIGTERM, which ends it in order. SIGHUP applies a changed configuration.\n\n"
		"  holdfast gateway --data data --listen 127.0.0.1:7777\n"
		"  holdfast gateway --data /var/lib/holdfast --listen 0.0.0.0:80 --config /etc/holdfast.conf\n"
		"  holdfast gateway --listen 127.0.0.1:0 --relay-name 'My relay' --store-quota 20GiB"},
	{"worker", hf_cli_worker, "", 0, NULL, true, "Serve relays and files by way of gateways",
		"The relays of the configuration are served here, as by `holdfast gateway`, and to the clients of the gateways that worker.gateways\n"
		"names: it registers with each, answers for its relay from a copy, and goes on here when they are gone. See docs/worker.md.\n\n"
		"  holdfast worker --data worker --listen 127.0.0.1:7778 --swarm-bootstrap 127.0.0.1:49737 --worker-gateways KEY\n"
		"  holdfast worker --config worker.conf"},
	{"up", hf_cli_up, "", 0, NULL, true, "Start all of it on this machine: a private network, a gateway and a worker",
		"Each is a process of its own, started again should it end. Prints what to open, and runs until ^C or SIGTERM. What it made in its\n"
		"data directory when it first started there, gateway.conf and worker.conf above all, is yours to change.\n\n"
		"  holdfast up\n"
		"  holdfast up --data /var/lib/holdfast --listen 0.0.0.0:7777"},
	{"gateways list", hf_cli_gateways_list, "", 0, dht_options, true, "Print which gateways announce themselves in a network",
		"Each that can be heard: its name, address, key and region, how old its word is and whether it holds; those that are not believed with\n"
		"the reason. Exit code 1 when there is none. With --compatibility-hypertuna signatures of another key than the gateway's are taken.\n\n"
		"  holdfast gateways list --bootstrap 127.0.0.1:49737\n"
		"  holdfast gateways list --bootstrap public --json"},
	{"doctor", hf_cli_doctor, "", 0, doctor_options, true, "Look for what is wrong with machine, network, configuration and data",
		"Of everything that is wrong it says what, why it matters, and which command mends it. It changes nothing and needs no root; run it\n"
		"as the user that the gateway runs as, with the same configuration.\n\n"
		"Exit code 0 when nothing is wrong but warnings, else that of the first fault: 3 the configuration, 4 the data directory,\n"
		"5 the store, 1 anything else.\n\n"
		"  holdfast doctor --config /etc/holdfast/holdfast.conf\n"
		"  sudo -u holdfast holdfast doctor --config /etc/holdfast/holdfast.conf --json --strict", true},
	{"admin status", hf_cli_admin_status, "", 0, door_options, true, "What a running gateway has done since it started, relay by relay",
		"  holdfast admin status --data data\n"
		"  holdfast admin status --url https://relay.example.org --token-file admin.token\n"
		"  holdfast admin status --data data --json"},
	{"admin health", hf_cli_admin_health, "", 0, door_options, true, "Whether a running gateway is well, and what is not and why",
		"Exit code 1 when it should be sent no clients.\n\n"
		"  holdfast admin health --data data"},
	{"admin workers", hf_cli_admin_workers, "", 0, door_options, true, "Which workers are connected, what they have and say of themselves",
		"  holdfast admin workers --data data"},
	{"admin dispatcher", hf_cli_admin_dispatcher, "", 0, door_options, true, "What is under way and waits, and how each worker does",
		"  holdfast admin dispatcher --data data"},
	{"admin pause", hf_cli_admin_pause, "", 0, door_relay_options, true, "Give a relay's bee to no peer for a while",
		"The relay goes on, and so does its bee; `holdfast relay info` says where it is.\n\n"
		"  holdfast admin pause --data data --relay main"},
	{"admin resume", hf_cli_admin_resume, "", 0, door_relay_options, true, "Give it again", "  holdfast admin resume --data data"},
	{"admin drain", hf_cli_admin_drain, "", 0, door_options, true, "Let all clients go and end the gateway, as SIGTERM does",
		"  holdfast admin drain --data data"},
	{"admin check", hf_cli_admin_check, "", 0, door_options, true, "Check the configuration as a running gateway would load it",
		"Names what would change only with a restart.\n\n"
		"  holdfast admin check --data data"},
	{"admin reload", hf_cli_admin_reload, "", 0, door_options, true, "Load the configuration again, as SIGHUP does",
		"A wrong one changes nothing; the sentence says what is wrong. Certificates, tokens and keys are read again, too. Names what\n"
		"changes only with a restart.\n\n"
		"  holdfast admin reload --data data"},
	{"admin link", hf_cli_admin_link, "", 0, NULL, true, "Print where the dashboard of a running gateway is, with the token that opens it",
		"The token is behind the #, so that browsers do not send it; who has the link may do everything that the dashboard can.\n\n"
		"  holdfast admin link --data data"},
	{"admin token", hf_cli_admin_token, "[FILE]", 1, NULL, false, "Make a file with a new token, for admin.token_file",
		"FILE is admin.token when left out, and is never replaced.\n\n"
		"  holdfast admin token /var/lib/holdfast/admin.token"},
	{"admin registrations", hf_cli_admin_registrations, "", 0, page_options, true,
		"List the relays that peers registered with a running gateway",
		"Of each its key, its path, how many peers serve it, and whose it is, in the order of keys.\n\n"
		"  holdfast admin registrations --data data\n"
		"  holdfast admin registrations --data data --limit 100 --after npub1abc:docs"},
	{"admin unregister", hf_cli_admin_unregister, "RELAY", 1, door_options, true, "Take a relay's registration away, and end all its tokens",
		"Its peers may register it again: to keep them out, change registration.allow or registration.secret.\n\n"
		"  holdfast admin unregister npub1abc:docs --data data"},
	{"admin tokens", hf_cli_admin_tokens, "", 0, page_options, true, "List the tokens that let clients in to relays",
		"Of each its id, state, sequence, end and relay, in the order of ids.\n\n"
		"  holdfast admin tokens --data data --json"},
	{"admin revoke", hf_cli_admin_revoke, "RELAY", 1, revoke_options, true, "End tokens of a relay; clients that hold them are disconnected",
		"Without --id, --peer or --user all of them.\n\n"
		"  holdfast admin revoke npub1abc:docs --data data --user 3bf0…  --reason \"left the group\""},
	{"admin routes", hf_cli_admin_routes, "", 0, door_options, true, "List the HTTP routes of a running gateway, and who may use each",
		"  holdfast admin routes --data data --json"},
	{"audit export", hf_cli_audit_export, "", 0, door_options, true, "Write the audit log to standard output, a record a line",
		"Each record holds the hash of the one before it. The newest one's hash is told at the end, on standard error: who keeps it can show\n"
		"later that nothing was cut off.\n\n"
		"  holdfast audit export --data data > audit.jsonl"},
	{"audit tail", hf_cli_audit_tail, "", 0, audit_tail_options, true, "Write the newest records of the audit log, oldest first",
		"  holdfast audit tail --data data --count 50"},
	{"audit verify", hf_cli_audit_verify, "", 0, door_options, true, "Check that no record of the audit log was changed or taken out",
		"Exit code 5 when one was.\n\n"
		"  holdfast audit verify --data data"},
	{"relay join", hf_cli_relay_join, "HOST RELAY", 2, relay_join_options, true, "Become a member of a relay on somebody's machine",
		"Asks the worker whose key is HOST for membership of its relay RELAY, which is an identifier (npub1...:name) or the relay's key, and\n"
		"prints the token that it gives and where the relay is. A relay that is closed keeps the request for its owner. Exit code 1 when it\n"
		"refuses. With --compatibility-hypertuna the worker may be one of Hypertuna's.\n\n"
		"  holdfast relay join 9f2c... npub1...:club --nostr-key me.nsec --bootstrap 127.0.0.1:49737\n"
		"  holdfast relay join 9f2c... npub1...:club --nostr-key me.nsec --bootstrap public --json"},
	{"relay import", hf_cli_relay_import, "", 0, relay_options, true, "Take in events from standard input, one JSON object a line",
		"Signatures are checked on all processors. A line that is refused is reported with its number and reason and does\n"
		"not end the import. Events that are imported are not passed on to live subscriptions.\n\n"
		"  holdfast relay import --data data < events.jsonl\n"
		"  other-relay export | holdfast relay import --data data --json"},
	{"relay export", hf_cli_relay_export, "", 0, relay_options, true, "Write all events to standard output, in order of arrival",
		"  holdfast relay export --data data > events.jsonl\n"
		"  holdfast relay export --data data | zstd > events.jsonl.zst"},
	{"relay scan", hf_cli_relay_scan, "[FILTER...]", HF_CLI_ARGUMENT_COUNT_MAX, scan_options, true,
		"Write the events that match, newest first",
		"  holdfast relay scan --data data '{\"kinds\":[1],\"limit\":10}'"},
	{"relay count", hf_cli_relay_count, "[FILTER...]", HF_CLI_ARGUMENT_COUNT_MAX, relay_options, true, "Count the events that match",
		"  holdfast relay count --data data '{\"kinds\":[1],\"since\":1735689600}'"},
	{"relay stats", hf_cli_relay_stats, "", 0, relay_options, true, "Print what a relay holds",
		"  holdfast relay stats --data data\n"
		"  holdfast relay stats --data data --relay side --json"},
	{"relay info", hf_cli_relay_info, "", 0, relay_options, true, "Print who a relay is, and where its bee is",
		"The bee's key is what peers follow; lag tells how far it is behind, while a gateway runs.\n\n"
		"  holdfast relay info --data data\n"
		"  holdfast relay info --data data --relay side --json"},
	{"relay rebuild", hf_cli_relay_rebuild, "[index|bee]", 1, relay_options, true, "Make a relay's index, or its bee, anew from the log",
		"For an index that `holdfast store verify` finds fault with. Nothing is lost: the log has all that the index has. The bee keeps its\n"
		"key: it is truncated to its header, on a new fork, which its readers follow, and filled again while the gateway runs.\n\n"
		"  holdfast relay rebuild --data data\n"
		"  holdfast relay rebuild bee --data data"},
	{"store stats", hf_cli_store_stats, "", 0, NULL, true, "Print the store's sizes and counts",
		"  holdfast store stats --data data\n"
		"  holdfast store stats --data data --json"},
	{"store verify", hf_cli_store_verify, "", 0, NULL, true, "Read every file and check it against its checksums and the others",
		"Every fault is named with its file and place; exit code 5 when there is one.\n\n"
		"  holdfast store verify --data data"},
	{"store backup", hf_cli_store_backup, "DIRECTORY", 1, NULL, true, "Copy the store to a new directory, also while it is in use",
		"The copy opens as a store: put it into a data directory under the name store.\n\n"
		"  holdfast store backup /backup/holdfast-monday --data data"},
	{"store compact", hf_cli_store_compact, "", 0, NULL, true, "Give back the space of deleted and replaced events",
		"  holdfast store compact --data data"},
	{"core create", hf_cli_core_create, "", 0, create_options, true, "Make a core and print its key",
		"Makes the data directory, too, when it is missing. A core with a name can be had again from the key ring alone; without a\n"
		"name its key pair is kept in the store. A name that was used before gives the core that it made.\n\n"
		"  holdfast core create --data data --name notes\n"
		"  holdfast core create --data data --name diary --encryption-key \"$(openssl rand -hex 32)\"\n"
		"  holdfast core create --data data --secret-key-file key.hex --json"},
	{"core append", hf_cli_core_append, "KEY", 1, append_options, true, "Append each line of standard input as a block",
		"Blocks are committed a thousand or 4 MiB at a time, and whenever the input pauses.\n\n"
		"  holdfast core append --data data --name notes < lines.txt\n"
		"  tail -F /var/log/syslog | holdfast core append --data data --name syslog\n"
		"  holdfast core append --data data --name photos --file cat.jpg\n"
		"  holdfast core append --data data --name films --file film.mp4 --block-size 64k --disk\n"
		"  sensor | holdfast core append --data data --name sensor --tcp 127.0.0.1:7001"},
	{"core serve", hf_cli_core_serve, "[KEY...]", HF_CLI_ARGUMENT_COUNT_MAX, serve_options, true,
		"Serve cores to peers, over TCP or found by key",
		"All cores, or those that are named. Prints where it listens, or that it can be found, and runs until SIGTERM. Other core\n"
		"commands work on the data directory through it, and peers see at once what they change.\n\n"
		"  holdfast core serve --data data --bootstrap 192.0.2.7:49737 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast core serve --data data --tcp 127.0.0.1:7001\n"
		"  holdfast core serve --data data --tcp peer.example.org:7001 --connect i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"core fetch", hf_cli_core_fetch, "KEY", 1, fetch_options, true, "Fetch a core, or some of its blocks, from peers",
		"Ends when all that was asked for is here: without --blocks the whole core as the peer has it. Every block is proved against\n"
		"the core's key before it is kept. What came stays when it fails, and is not fetched again.\n\n"
		"  holdfast core fetch --data copy --bootstrap 192.0.2.7:49737 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast core fetch --data copy --tcp 127.0.0.1:7001 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast core fetch --data copy --tcp 127.0.0.1:7001 --blocks 0..100,5000 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast core fetch --data copy --tcp 127.0.0.1:7001 --live --serve 127.0.0.1:7002 \\\n"
		"      i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"core get", hf_cli_core_get, "KEY INDEX[..END]", 2, get_options, true, "Write blocks to standard output, as they are",
		"  holdfast core get --data data --name notes 0\n"
		"  holdfast core get --data data --name notes 10..20 --lines\n"
		"  holdfast core get --data data --name films 0.. > film.mp4\n"
		"  holdfast core get --data data --name notes 0..3 --json --encoding hex"},
	{"core tail", hf_cli_core_tail, "KEY", 1, tail_options, true, "Write the last blocks, a line each, and those that come",
		"With --follow it runs until it is interrupted. While it waits it leaves the data directory to others.\n\n"
		"  holdfast core tail --data data --name notes\n"
		"  holdfast core tail --data data --name notes --from 0 --follow --json"},
	{"core info", hf_cli_core_info, "KEY", 1, core_options, true, "Print what a core is: length, key, tree, signers, blocks held",
		"  holdfast core info --data data --name notes\n"
		"  holdfast core info --data data --json i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"core list", hf_cli_core_list, "", 0, NULL, true, "List the cores",
		"  holdfast core list --data data\n"
		"  holdfast core list --data data --json"},
	{"core seek", hf_cli_core_seek, "KEY BYTES", 2, sealed_options, true, "Say in which block a byte of the core is, and where in it",
		"Bytes are counted from 0. In an encrypted core they are those of what was appended, with --encryption-key, else those that are\n"
		"stored: eight more for each block.\n\n"
		"  holdfast core seek --data data --name films 1000000"},
	{"core truncate", hf_cli_core_truncate, "KEY LENGTH", 2, truncate_options, true, "Take blocks from the end of a core, onto a new fork",
		"Peers that have the old blocks go over to the new fork when they see it.\n\n"
		"  holdfast core truncate --data data --name notes 100"},
	{"core clear", hf_cli_core_clear, "KEY START END", 3, core_options, true, "Forget the blocks from START to before END, to have their room",
		"They keep their place in the tree and can be fetched from peers again.\n\n"
		"  holdfast core clear --data data --name films 0 1000"},
	{"core verify", hf_cli_core_verify, "KEY", 1, core_options, true, "Check every block held, the tree above it, and the signature",
		"Exit code 5 when something is wrong, which is named.\n\n"
		"  holdfast core verify --data data --name films"},
	{"bee create", hf_cli_bee_create, "", 0, create_options, true, "Make a bee, a database of keys and values in a core, and print its key",
		"As `holdfast core create`, with a first block that says what the core is.\n\n"
		"  holdfast bee create --data data --name people\n"
		"  holdfast bee create --data data --name diary --encryption-key \"$(openssl rand -hex 32)\""},
	{"bee put", hf_cli_bee_put, "KEY [key value]", 3, put_options, true, "Put a key and its value, or one for each line of standard input",
		"A line is a key, a tab and its value; with --jsonl an object, as list and history print it. Lines become batches, which are\n"
		"committed a thousand or 4 MiB at a time, and whenever the input pauses.\n\n"
		"  holdfast bee put --data data --name people ada '{\"born\":1815}'\n"
		"  holdfast bee put --data data --name people --sub mail ada ada@example.org --if-absent\n"
		"  holdfast bee put --data data --name people --if '{\"born\":1815}' ada '{\"born\":1815,\"died\":1852}'\n"
		"  holdfast bee put --data data --name people < lines.tsv\n"
		"  holdfast bee put --data data --name people --value-encoding json --jsonl < people.jsonl"},
	{"bee get", hf_cli_bee_get, "KEY key", 2, bee_get_options, true, "Print the value of a key",
		"Exit code 1 when it is not there.\n\n"
		"  holdfast bee get --data data --name people ada\n"
		"  holdfast bee get --data data --name people ada --at 12 --json\n"
		"  holdfast bee get --data data --name pictures cat --raw > cat.jpg"},
	{"bee del", hf_cli_bee_del, "KEY [key]", 2, del_options, true, "Delete a key, or one for each line of standard input",
		"  holdfast bee del --data data --name people ada\n"
		"  holdfast bee del --data data --name people < keys.txt"},
	{"bee list", hf_cli_bee_list, "KEY", 1, list_options, true, "List keys and values in order, a line each",
		"  holdfast bee list --data data --name people --gte a --lt b\n"
		"  holdfast bee list --data data --name people --reverse --limit 10 --json\n"
		"  holdfast bee list --data data --name people --sub mail --at 12"},
	{"bee watch", hf_cli_bee_watch, "KEY [key]", 2, watch_options, true, "Print what changes, of all keys, of a range or of one key",
		"Runs until it is interrupted, and prints differences as `holdfast bee diff` does. While it waits it leaves the data directory\n"
		"to others.\n\n"
		"  holdfast bee watch --data data --name people\n"
		"  holdfast bee watch --data data --name people ada --json"},
	{"bee diff", hf_cli_bee_diff, "KEY FROM [TO]", 3, diff_options, true, "Print which keys differ between two versions",
		"From version FROM to TO, or to the present one: a line with - for what was, one with + for what is.\n\n"
		"  holdfast bee diff --data data --name people 12\n"
		"  holdfast bee diff --data data --name people 12 20 --gte a --lt b --json"},
	{"bee history", hf_cli_bee_history, "KEY", 1, history_options, true, "Print all changes in their order",
		"  holdfast bee history --data data --name people\n"
		"  holdfast bee history --data data --name people --gte -10\n"
		"  holdfast bee history --data data --name people --reverse --limit 3 --json"},
	{"bee info", hf_cli_bee_info, "KEY", 1, core_options, true, "Print what a bee is: version, key, blocks held",
		"  holdfast bee info --data data --name people"},
	{"bee serve", hf_cli_core_serve, "[KEY...]", HF_CLI_ARGUMENT_COUNT_MAX, serve_options, true,
		"Serve bees to peers, over TCP or found by key",
		"As `holdfast core serve`: all cores, or those that are named.\n\n"
		"  holdfast bee serve --data data --tcp 127.0.0.1:7001"},
	{"bee fetch", hf_cli_core_fetch, "KEY", 1, bee_fetch_options, true, "Fetch a bee from peers, whole",
		"As `holdfast core fetch`.\n\n"
		"  holdfast bee fetch --data copy --tcp 127.0.0.1:7001 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast bee fetch --data copy --tcp 127.0.0.1:7001 --live i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"drive create", hf_cli_drive_create, "", 0, drive_create_options, true,
		"Make a drive, a file system in two cores, and print its key",
		"A drive with a name is that of `new Hyperdrive(store.namespace(name))`.\n\n"
		"  holdfast drive create --data data --name photos\n"
		"  holdfast drive create --data data --name diary --encryption-key \"$(openssl rand -hex 32)\""},
	{"drive put", hf_cli_drive_put, "KEY PATH [FILE]", 3, drive_put_options, true, "Put a file, or standard input, under a path",
		"  holdfast drive put --data data --name photos /cat.jpg cat.jpg\n"
		"  date | holdfast drive put --data data --name photos /notes/date.txt\n"
		"  holdfast drive put --data data --name photos /latest --link /cat.jpg"},
	{"drive get", hf_cli_drive_get, "KEY PATH [FILE]", 3, drive_get_options, true,
		"Write a file of the drive to FILE, or to its own name here",
		"FILE is there when it is whole. Links are followed.\n\n"
		"  holdfast drive get --data data --name photos /cat.jpg\n"
		"  holdfast drive get --data copy --tcp 127.0.0.1:7001 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo /cat.jpg /tmp/cat.jpg"},
	{"drive cat", hf_cli_drive_cat, "KEY PATH", 2, drive_get_options, true, "Write a file of the drive, or a part of it, to standard output",
		"  holdfast drive cat --data data --name photos /notes/date.txt\n"
		"  holdfast drive cat --data data --name photos /film.mp4 --start 1000000 --length 100"},
	{"drive ls", hf_cli_drive_ls, "KEY [FOLDER]", 2, drive_ls_options, true, "List what is in a folder of the drive",
		"  holdfast drive ls --data data --name photos\n"
		"  holdfast drive ls --data data --name photos /notes --recursive --at 12 --json"},
	{"drive rm", hf_cli_drive_rm, "KEY PATH...", HF_CLI_ARGUMENT_COUNT_MAX, drive_options, true, "Delete files from the drive",
		"Their blocks stay, for older versions; `holdfast drive clear` before it gives their room back.\n\n"
		"  holdfast drive rm --data data --name photos /cat.jpg /notes/date.txt"},
	{"drive clear", hf_cli_drive_clear, "KEY PATH...", HF_CLI_ARGUMENT_COUNT_MAX, drive_options, true,
		"Forget the blocks of files, to have their room", "The files stay in the drive, and can be fetched from peers again.\n\n"
		"  holdfast drive clear --data data --name photos /film.mp4"},
	{"drive truncate", hf_cli_drive_truncate, "KEY VERSION", 2, drive_options, true,
		"Take a drive back to an earlier version, onto a new fork",
		"What came after is gone, the content of files too. Peers that have it go over to the new fork when they see it.\n\n"
		"  holdfast drive truncate --data data --name photos 12"},
	{"drive diff", hf_cli_drive_diff, "KEY FROM [TO]", 3, drive_diff_options, true, "Print which files differ between two versions",
		"From version FROM to TO, or to the present one: a line with - for what was, one with + for what is.\n\n"
		"  holdfast drive diff --data data --name photos 12\n"
		"  holdfast drive diff --data data --name photos 12 20 --folder /notes --json"},
	{"drive watch", hf_cli_drive_watch, "KEY [FOLDER]", 2, drive_watch_options, true, "Print what changes in the drive",
		"Runs until it is interrupted, and prints differences as `holdfast drive diff` does. While it waits it leaves the data\n"
		"directory to others.\n\n"
		"  holdfast drive watch --data data --name photos /notes"},
	{"drive info", hf_cli_drive_info, "KEY", 1, drive_options, true, "Print what a drive is: version, keys, blocks held of both cores",
		"  holdfast drive info --data data --name photos"},
	{"drive serve", hf_cli_drive_serve, "[KEY...]", HF_CLI_ARGUMENT_COUNT_MAX, serve_options, true,
		"Serve drives to peers, over TCP or found by key",
		"As `holdfast core serve`: all cores, or those of the drives that are named.\n\n"
		"  holdfast drive serve --data data --tcp 127.0.0.1:7001"},
	{"drive fetch", hf_cli_drive_fetch, "KEY [PATH...]", HF_CLI_ARGUMENT_COUNT_MAX, drive_fetch_options, true,
		"Fetch a drive, or some of its files and folders, from peers",
		"All files of the present version, and the names of all versions. What came stays when it fails, and is not fetched again.\n\n"
		"  holdfast drive fetch --data copy --bootstrap 192.0.2.7:49737 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast drive fetch --data copy --tcp 127.0.0.1:7001 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo\n"
		"  holdfast drive fetch --data copy --tcp 127.0.0.1:7001 i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo /notes /cat.jpg\n"
		"  holdfast drive fetch --data copy --tcp 127.0.0.1:7001 --live i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"drive mirror", hf_cli_drive_mirror, "KEY", 1, drive_mirror_options, true,
		"Make a folder what the drive is, or the drive what a folder is",
		"Files are compared by size and content, links by what they say. What the source does not have is removed from the target, unless\n"
		"--keep is given. A run that was cut off is gone on with by the next. Nothing outside of the folder is written to, and no link in\n"
		"it followed.\n\n"
		"  holdfast drive mirror --data data --name photos --from pictures --dry-run\n"
		"  holdfast drive mirror --data data --name photos --from pictures\n"
		"  holdfast drive mirror --data data --name photos --to /srv/pictures --keep\n"
		"  holdfast drive mirror --data copy --tcp 127.0.0.1:7001 --to pictures i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"dht serve", hf_cli_dht_serve, "", 0, dht_serve_options, true, "Run a node of the DHT",
		"Prints where it listens and how others see it, and runs until SIGTERM. It contacts the bootstrap nodes and whom they name, and\n"
		"without any nobody. With --data its table of nodes and a key are kept there.\n\n"
		"  holdfast dht serve --address 192.0.2.7 --port 49737\n"
		"  holdfast dht serve --bootstrap 192.0.2.7:49737 --persistent --data node --relay"},
	{"dht testnet", hf_cli_dht_testnet, "", 0, dht_testnet_options, false, "Run a whole DHT on loopback, for tests",
		"Prints the bootstrap node once all are there, and runs until SIGTERM.\n\n"
		"  holdfast dht testnet --nodes 20\n"
		"  holdfast dht testnet --nodes 1 --port 49737 --json"},
	{"dht lookup", hf_cli_dht_lookup, "TOPIC", 1, dht_lookup_options, true, "Print who is announced at a topic",
		"A line for each peer: its public key and the nodes that it is reached through.\n\n"
		"  holdfast dht lookup --bootstrap 127.0.0.1:49737 256c83b297114d201b30179f3f0ef0cace9783622da5974326b436178aeef610\n"
		"  holdfast dht lookup --core i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo --json"},
	{"dht announce", hf_cli_dht_announce, "TOPIC", 1, dht_announce_options, true, "Announce a key at a topic, for 20 minutes",
		"  holdfast dht announce --bootstrap 127.0.0.1:49737 --seed \"$(openssl rand -hex 32)\" \\\n"
		"      256c83b297114d201b30179f3f0ef0cace9783622da5974326b436178aeef610"},
	{"dht put", hf_cli_dht_put, "[VALUE]", 1, dht_put_options, true, "Put a value, or standard input, into the DHT, for two days",
		"Prints what it is found by: its hash, or with --mutable the public key.\n\n"
		"  holdfast dht put --bootstrap 127.0.0.1:49737 'hello world'\n"
		"  holdfast dht put --bootstrap 127.0.0.1:49737 --mutable --seed \"$SEED\" --seq 2 'hello again'"},
	{"dht get", hf_cli_dht_get, "KEY", 1, dht_get_options, true, "Print a value from the DHT",
		"Exit code 1 when nobody has it. What is printed was proved by its hash or signature.\n\n"
		"  holdfast dht get --bootstrap 127.0.0.1:49737 256c83b297114d201b30179f3f0ef0cace9783622da5974326b436178aeef610"},
	{"dht ping", hf_cli_dht_ping, "HOST:PORT", 1, dht_options, true, "Ask a node of the DHT for a sign of life",
		"  holdfast dht ping 127.0.0.1:49737"},
	{"dht stats", hf_cli_dht_stats, "", 0, dht_options, true, "Join the DHT for a moment and print what it looks like from here",
		"  holdfast dht stats --bootstrap 127.0.0.1:49737 --json"},
	{"key new", hf_cli_key_new, "", 0, NULL, true, "Make a key pair for signing cores, in the key ring, and print its public part",
		"`holdfast core create --manifest` finds it there when the manifest names it.\n\n"
		"  holdfast key new --data data --json"},
	{"key convert", hf_cli_key_convert, "KEY", 1, NULL, false, "Print a core's key in z-base-32 and hexadecimal, and its discovery key",
		"  holdfast key convert i3rbzoei6n6otajzzpfafhwpygqdz9hbgsijnf4wokdeqi48zcuo"},
	{"key rotate", hf_cli_key_rotate, "[PURPOSE]", 1, NULL, true, "Make a new key, and put the old one aside",
		"PURPOSE is swarm, the key by which workers and gateways know this process, or gateway-signing, what a gateway signs tokens with.\n"
		"A swarm key is in use from the next start on. A gateway that announces itself says with each old key which one is now in its place,\n"
		"so that workers with worker.discover follow; others are configured anew. See docs/discovery.md. A gateway-signing key is in use from\n"
		"`holdfast admin reload` on, of which workers hear; a relay's bee is signed with it from the next start on.\n\n"
		"  holdfast key rotate --data data"},
	{"key revoke", hf_cli_key_revoke, "ID", 1, NULL, true, "End a key that was put aside, and wipe its secret",
		"Nobody is told by it any more which key came in its place.\n\n"
		"  holdfast key revoke --data data 0123456789abcdef0123456789abcdef"},
	{"key show", hf_cli_key_show, "", 0, NULL, true, "List the keys: purpose, state, id and public part",
		"  holdfast key show --data data"},
	{"config show", hf_cli_config_show, "", 0, NULL, true, "Print every setting with its value and where that came from",
		"What it prints is a configuration file.\n\n"
		"  holdfast config show --config /etc/holdfast.conf"},
	{"config check", hf_cli_config_check, "", 0, NULL, true, "Say whether the configuration is right",
		"Exit code 3 and the place of the first fault when it is not.\n\n"
		"  holdfast config check --config /etc/holdfast.conf"},
	{"config explain", hf_cli_config_explain, "[SETTING]", 1, NULL, false, "Tell what the settings are for",
		"  holdfast config explain\n  holdfast config explain store\n  holdfast config explain relay.limit_max"},
	{"config example", hf_cli_config_example, "", 0, NULL, false, "Print a configuration file with every setting, its reason and its default",
		"  holdfast config example > holdfast.conf"},
	{"config aliases", hf_cli_config_aliases, "", 0, NULL, false, "List the environment names of Hypertuna's gateway, and what they stand for",
		"  holdfast config aliases"},
	{"completion", hf_cli_completion, "bash|zsh|fish", 1, NULL, false, "Print what a shell needs to complete commands, options and files",
		"An installed holdfast has it where the shells look for it.\n\n"
		"  source <(holdfast completion bash)\n"
		"  holdfast completion zsh > ~/.zsh/completions/_holdfast\n"
		"  holdfast completion fish > ~/.config/fish/completions/holdfast.fish"},
	{"manual", hf_cli_manual, "[PAGE]", 1, NULL, false, "Print a manual page, or the names of them all",
		"An installed holdfast has them where man looks for them.\n\n"
		"  holdfast manual holdfast-core.1 | man -l -\n"
		"  holdfast manual"},
	{"version", print_version, "", 0, NULL, false, "Print the version", NULL},
};
const size_t hf_cli_command_count = sizeof hf_cli_commands / sizeof *hf_cli_commands;
