/* gen: makes a file of signed Nostr events, one JSON object a line, for the benchmarks.
 *
 *     gen --events 140000 --out events.jsonl [--authors 2000] [--seed 1] [--until UNIX_SECONDS]
 *
 * The same seed, count and end time give the same bytes. The mix is that of a busy public relay: mostly notes,
 * replies and reactions, some reposts, zap receipts and comments, a few profiles, contact lists, relay lists and
 * articles. Popular authors write more and are answered more. created_at rises over the thirty days before --until
 * (default: an hour ago), so no relay refuses them for their age.
 *
 * Events refer to earlier ones, so they are written and hashed in order; only the signatures, which nothing refers
 * to, are made by several threads, a chunk at a time. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#define CHUNK_EVENTS 8192u
#define SIGNER_COUNT 2u
#define RECENT_COUNT 4096u
#define WORD_COUNT 4096u
#define SPAN_SECONDS (30ll * 86400)

struct text {
	char *data;
	size_t bytes;
	size_t capacity_bytes;
};

struct author {
	secp256k1_keypair keypair;
	char pubkey[65];
};

/* An event that later ones may answer. */
struct recent {
	char id[65];
	uint32_t author;
};

struct draft {
	size_t offset_bytes;
	size_t sig_offset_bytes;
	size_t bytes;
	uint8_t id[32];
	uint32_t author;
};

struct generator {
	secp256k1_context *secp;
	uint64_t random_state;
	struct author *authors;
	uint32_t author_count;
	struct recent *recent;
	size_t recent_count;
	char (*words)[16];
	struct text tags;
	struct text content;
	struct text canonical;
	struct text chunk;
	struct draft *drafts;
	uint64_t tag_count;
	uint64_t bytes;
};

static void die(const char *what)
{
	fprintf(stderr, "gen: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void text_add(struct text *text, const void *bytes, size_t count)
{
	if (text->bytes + count + 1 > text->capacity_bytes) {
		text->capacity_bytes = (text->bytes + count + 1) * 2;
		text->data = realloc(text->data, text->capacity_bytes);
		if (!text->data)
			die("memory");
	}
	memcpy(text->data + text->bytes, bytes, count);
	text->bytes += count;
	text->data[text->bytes] = 0;
}

__attribute__((format(printf, 2, 3))) static void text_format(struct text *text, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	int count = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_add(text, line, count < (int)sizeof(line) ? (size_t)count : sizeof(line) - 1);
}

/* splitmix64: every state is a good one, so that any seed will do. */
static uint64_t random_next(struct generator *g)
{
	uint64_t z = (g->random_state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint32_t random_below(struct generator *g, uint32_t limit)
{
	return (uint32_t)((random_next(g) >> 32) * limit >> 32);
}

static bool random_percent(struct generator *g, uint32_t percent)
{
	return random_below(g, 100) < percent;
}

/* Squaring a uniform number makes the low ones popular. */
static uint32_t random_popular(struct generator *g, uint32_t limit)
{
	double u = (double)(random_next(g) >> 11) / 9007199254740992.0;
	return (uint32_t)(u * u * limit);
}

static void hex_encode(char *out, const uint8_t *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < count; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * count] = 0;
}

static void make_words(struct generator *g)
{
	static const char *const syllables[] = {"ka", "lo", "mi", "ren", "su", "ta", "vo", "ne", "shi", "bra", "del",
		"on", "er", "ing", "qua", "zu", "pe", "ful", "ly", "st", "ga", "hom", "ix", "ow", "dé", "ñu", "ß", "ор",
		"ка", "日"};
	for (size_t i = 0; i < WORD_COUNT; i++) {
		uint32_t count = 1 + random_below(g, 4);
		g->words[i][0] = 0;
		for (uint32_t k = 0; k < count; k++)
			strcat(g->words[i], syllables[random_below(g, i < 3200 ? 24 : 30)]);
	}
}

static void make_authors(struct generator *g, uint64_t seed)
{
	for (uint32_t i = 0; i < g->author_count; i++) {
		char label[64];
		uint8_t secret[32], pubkey[32];
		secp256k1_xonly_pubkey xonly;
		int bytes = snprintf(label, sizeof(label), "benchmark author %" PRIu64 "/%u", seed, i);
		SHA256((const uint8_t *)label, (size_t)bytes, secret);
		if (!secp256k1_keypair_create(g->secp, &g->authors[i].keypair, secret))
			die("keypair");
		if (!secp256k1_keypair_xonly_pub(g->secp, &xonly, NULL, &g->authors[i].keypair) ||
			!secp256k1_xonly_pubkey_serialize(g->secp, pubkey, &xonly))
			die("public key");
		hex_encode(g->authors[i].pubkey, pubkey, 32);
	}
}

/* Words up to about `bytes`; line breaks come escaped, as they are both in the event and in what is hashed. */
static void add_prose(struct generator *g, struct text *text, size_t bytes)
{
	size_t end = text->bytes + bytes;
	while (text->bytes < end) {
		const char *word = g->words[random_popular(g, WORD_COUNT)];
		text_add(text, word, strlen(word));
		uint32_t dice = random_below(g, 40);
		const char *gap = dice == 0 ? ".\\n" : dice < 4 ? ", " : dice == 4 ? " \\\"" : dice == 5 ? "! 🚀 " : " ";
		text_add(text, gap, strlen(gap));
	}
}

static void add_tag(struct generator *g, const char *name, const char *value, const char *rest)
{
	if (g->tags.bytes > 1)
		text_add(&g->tags, ",", 1);
	text_format(&g->tags, "[\"%s\",\"%s\"%s]", name, value, rest);
	g->tag_count += !name[1];
}

static const struct recent *pick_recent(struct generator *g)
{
	return &g->recent[random_below(g, (uint32_t)(g->recent_count < RECENT_COUNT ? g->recent_count : RECENT_COUNT))];
}

static void add_reply_tags(struct generator *g, bool thread)
{
	if (!g->recent_count)
		return;
	const struct recent *parent = pick_recent(g);
	if (thread) {
		const struct recent *root = pick_recent(g);
		add_tag(g, "e", root->id, ",\"wss://relay.example.com\",\"root\"");
		add_tag(g, "e", parent->id, ",\"\",\"reply\"");
		add_tag(g, "p", g->authors[root->author].pubkey, "");
	} else {
		add_tag(g, "e", parent->id, ",\"\",\"root\"");
	}
	add_tag(g, "p", g->authors[parent->author].pubkey, "");
}

static void add_topics(struct generator *g, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		add_tag(g, "t", g->words[random_popular(g, 1024)], "");
}

static void write_note(struct generator *g)
{
	if (random_percent(g, 60))
		add_reply_tags(g, random_percent(g, 50));
	if (random_percent(g, 50))
		add_topics(g, 1 + random_below(g, 4));
	if (random_percent(g, 20))
		add_tag(g, "p", g->authors[random_popular(g, g->author_count)].pubkey, "");
	add_prose(g, &g->content, 20 + random_popular(g, 330));
}

static void write_zap(struct generator *g)
{
	add_reply_tags(g, false);
	add_tag(g, "P", g->authors[random_popular(g, g->author_count)].pubkey, "");
	struct text invoice = {0};
	add_prose(g, &invoice, 380);
	for (char *c = invoice.data; *c; c++)
		if (*c == '\\' || *c == '"' || *c < 0 || *c == ' ')
			*c = 'x';
	add_tag(g, "bolt11", invoice.data, "");
	add_tag(g, "description", invoice.data, "");
	free(invoice.data);
}

static void write_contacts(struct generator *g)
{
	uint32_t count = 15 + random_popular(g, 60);
	for (uint32_t i = 0; i < count; i++)
		add_tag(g, "p", g->authors[random_popular(g, g->author_count)].pubkey, "");
}

static void write_relays(struct generator *g)
{
	uint32_t count = 3 + random_below(g, 4);
	for (uint32_t i = 0; i < count; i++) {
		char url[64];
		snprintf(url, sizeof(url), "wss://relay%u.example.com", random_popular(g, 400));
		add_tag(g, "r", url, i & 1 ? ",\"read\"" : "");
	}
}

static void write_article(struct generator *g, int64_t created_at)
{
	char text[64];
	snprintf(text, sizeof(text), "article-%08x", random_below(g, UINT32_MAX));
	add_tag(g, "d", text, "");
	add_tag(g, "title", g->words[random_popular(g, WORD_COUNT)], "");
	snprintf(text, sizeof(text), "%" PRId64, created_at);
	add_tag(g, "published_at", text, "");
	add_topics(g, 3);
	add_prose(g, &g->content, 1500 + random_popular(g, 4000));
}

static void write_profile(struct generator *g)
{
	text_format(&g->content,
		"{\\\"name\\\":\\\"%s\\\",\\\"picture\\\":\\\"https://example.com/%08x.jpg\\\",\\\"about\\\":\\\"",
		g->words[random_below(g, 3200)], random_below(g, UINT32_MAX));
	for (size_t i = 0; i < 12; i++)
		text_format(&g->content, "%s ", g->words[random_popular(g, 3200)]);
	text_format(&g->content, "\\\"}");
}

static int write_body(struct generator *g, int64_t created_at)
{
	uint32_t dice = random_below(g, 1000);
	if (dice < 540)
		return write_note(g), 1;
	if (dice < 770)
		return add_reply_tags(g, false), add_tag(g, "k", "1", ""), text_add(&g->content, "+", 1), 7;
	if (dice < 835)
		return add_reply_tags(g, false), 6;
	if (dice < 870)
		return add_reply_tags(g, true), add_prose(g, &g->content, 200), 1111;
	if (dice < 905)
		return write_zap(g), 9735;
	if (dice < 930)
		return write_profile(g), 0;
	if (dice < 940)
		return write_contacts(g), 3;
	if (dice < 960)
		return write_relays(g), 10002;
	if (dice < 975)
		return write_article(g, created_at), 30023;
	return add_topics(g, 2), add_prose(g, &g->content, 150), 20;
}

static void write_event(struct generator *g, struct draft *draft, int64_t created_at)
{
	char id[65];
	draft->author = random_popular(g, g->author_count);
	const char *pubkey = g->authors[draft->author].pubkey;
	g->tags.bytes = g->content.bytes = g->canonical.bytes = 0;
	text_add(&g->tags, "[", 1);
	text_add(&g->content, "", 0);
	int kind = write_body(g, created_at);
	text_add(&g->tags, "]", 1);

	text_format(&g->canonical, "[0,\"%s\",%" PRId64 ",%d,", pubkey, created_at, kind);
	text_add(&g->canonical, g->tags.data, g->tags.bytes);
	text_add(&g->canonical, ",\"", 2);
	text_add(&g->canonical, g->content.data, g->content.bytes);
	text_add(&g->canonical, "\"]", 2);
	SHA256((const uint8_t *)g->canonical.data, g->canonical.bytes, draft->id);
	hex_encode(id, draft->id, 32);

	draft->offset_bytes = g->chunk.bytes;
	text_format(&g->chunk, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%" PRId64 ",\"kind\":%d,\"tags\":", id,
		pubkey, created_at, kind);
	text_add(&g->chunk, g->tags.data, g->tags.bytes);
	text_add(&g->chunk, ",\"content\":\"", 12);
	text_add(&g->chunk, g->content.data, g->content.bytes);
	text_add(&g->chunk, "\",\"sig\":\"", 9);
	draft->sig_offset_bytes = g->chunk.bytes;
	text_format(&g->chunk, "%0128d\"}\n", 0);
	draft->bytes = g->chunk.bytes - draft->offset_bytes;

	if (kind == 1) {
		struct recent *slot = &g->recent[g->recent_count++ % RECENT_COUNT];
		memcpy(slot->id, id, sizeof(id));
		slot->author = draft->author;
	}
}

struct signer {
	pthread_t thread;
	struct generator *g;
	size_t first;
	size_t count;
};

static void *sign_some(void *argument)
{
	struct signer *signer = argument;
	struct generator *g = signer->g;
	for (size_t i = signer->first; i < signer->count; i += SIGNER_COUNT) {
		struct draft *draft = &g->drafts[i];
		uint8_t signature[64];
		char hex[129];
		if (!secp256k1_schnorrsig_sign32(
			    g->secp, signature, draft->id, &g->authors[draft->author].keypair, NULL))
			die("signing");
		hex_encode(hex, signature, 64);
		memcpy(g->chunk.data + draft->sig_offset_bytes, hex, 128);
	}
	return NULL;
}

static void sign_chunk(struct generator *g, size_t count)
{
	struct signer signers[SIGNER_COUNT];
	for (size_t i = 0; i < SIGNER_COUNT; i++) {
		signers[i] = (struct signer){.g = g, .first = i, .count = count};
		if (pthread_create(&signers[i].thread, NULL, sign_some, &signers[i]))
			die("thread");
	}
	for (size_t i = 0; i < SIGNER_COUNT; i++)
		pthread_join(signers[i].thread, NULL);
}

static void generate(struct generator *g, FILE *out, uint64_t count, int64_t until)
{
	int64_t begin = until - SPAN_SECONDS;
	for (uint64_t done = 0; done < count;) {
		size_t chunk_count = count - done < CHUNK_EVENTS ? (size_t)(count - done) : CHUNK_EVENTS;
		g->chunk.bytes = 0;
		for (size_t i = 0; i < chunk_count; i++)
			write_event(
				g, &g->drafts[i], begin + (int64_t)((double)(done + i) * SPAN_SECONDS / (double)count));
		sign_chunk(g, chunk_count);
		if (fwrite(g->chunk.data, 1, g->chunk.bytes, out) != g->chunk.bytes)
			die("write");
		g->bytes += g->chunk.bytes;
		done += chunk_count;
	}
}

static void generator_init(struct generator *g, uint64_t seed, uint32_t author_count)
{
	*g = (struct generator){.random_state = seed, .author_count = author_count};
	g->secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	g->authors = calloc(author_count, sizeof(*g->authors));
	g->recent = calloc(RECENT_COUNT, sizeof(*g->recent));
	g->words = calloc(WORD_COUNT, sizeof(*g->words));
	g->drafts = calloc(CHUNK_EVENTS, sizeof(*g->drafts));
	if (!g->secp || !g->authors || !g->recent || !g->words || !g->drafts)
		die("memory");
	make_words(g);
	make_authors(g, seed);
}

static void generator_free(struct generator *g)
{
	secp256k1_context_destroy(g->secp);
	free(g->authors);
	free(g->recent);
	free(g->words);
	free(g->drafts);
	free(g->tags.data);
	free(g->content.data);
	free(g->canonical.data);
	free(g->chunk.data);
}

static int usage(void)
{
	fputs("usage: gen --events N --out FILE [--authors N] [--seed N] [--until UNIX_SECONDS]\n"
	      "Writes N signed Nostr events, one JSON object a line, oldest first.\n",
		stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"events", 1, NULL, 'e'}, {"out", 1, NULL, 'o'},
		{"authors", 1, NULL, 'a'}, {"seed", 1, NULL, 's'}, {"until", 1, NULL, 'u'}, {0}};
	uint64_t count = 0, seed = 1;
	uint32_t author_count = 2000;
	int64_t until = (int64_t)time(NULL) - 3600;
	const char *path = NULL;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'e':
			count = strtoull(optarg, NULL, 10);
			break;
		case 'o':
			path = optarg;
			break;
		case 'a':
			author_count = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'u':
			until = strtoll(optarg, NULL, 10);
			break;
		default:
			return usage();
		}
	}
	if (!count || !path || !author_count)
		return usage();

	/* Under another name until it is whole, so that an interrupted run leaves no half file to be taken for a cache.
	 */
	char partial[4096];
	snprintf(partial, sizeof(partial), "%s.partial", path);
	FILE *out = fopen(partial, "w");
	if (!out)
		die(partial);
	struct generator g;
	generator_init(&g, seed, author_count);
	generate(&g, out, count, until);
	if (fclose(out) || rename(partial, path))
		die(path);
	printf("%" PRIu64 " events, %.0f bytes and %.2f indexable tags each, %u authors: %s\n", count,
		(double)g.bytes / (double)count - 1, (double)g.tag_count / (double)count, author_count, path);
	generator_free(&g);
	return 0;
}
