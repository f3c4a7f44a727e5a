/* announcement: what a gateway says of itself at the meeting point of gateways and those who look for one. (spec: gateway, section 7)
 *
 * It goes as one piece over a secret stream of its own, which ends behind it. The signature covers JSON text that both sides make of the
 * fields, character for character; what is decoded here is limited to what has one such text.
 *
 * Behind the fields of the specification, where readers of the first generation stop, we write an extension, read only behind its name:
 *
 *     string "holdfast/1"
 *     uint   count of predecessors, each 32 bytes of key, uint since (Unix ms), 64 bytes of signature: the old key says with it that the
 *            gateway goes on under gatewayId since then
 *     64 bytes, the signature with gatewayId's key of all that is before them: it covers what the first one leaves out
 *
 * Whoever knows a gateway by a key that it has put aside follows it by that, without being told.
 */
#ifndef HF_WIRE_ANNOUNCEMENT_H
#define HF_WIRE_ANNOUNCEMENT_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/sign.h"

#define HF_ANNOUNCEMENT_TOPIC "hypertuna-public-gateway-discovery-v1" /* its BLAKE2b, without a key, is the topic */
#define HF_ANNOUNCEMENT_BYTES_MAX 8192u
#define HF_ANNOUNCEMENT_URL_BYTES_MAX 512u
#define HF_ANNOUNCEMENT_NAME_BYTES_MAX 128u
#define HF_ANNOUNCEMENT_TTL_S_MAX 86400u
#define HF_ANNOUNCEMENT_SKEW_MS 60000u        /* that a clock may be wrong, either way */
#define HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX 4u

struct hf_announcement_predecessor {
	uint8_t key[HF_SIGN_PUBLIC_BYTES];
	uint64_t since_ms;
	uint8_t signature[HF_SIGN_SIGNATURE_BYTES];
};

/* Texts are UTF-8 without control characters; empty and 0: not said. */
struct hf_announcement {
	uint8_t gateway_key[HF_SIGN_PUBLIC_BYTES], signature_key[HF_SIGN_PUBLIC_BYTES];
	uint8_t signature[HF_SIGN_SIGNATURE_BYTES];
	uint64_t timestamp_ms, ttl_s, protocol_version;
	char public_url[HF_ANNOUNCEMENT_URL_BYTES_MAX + 1], ws_url[HF_ANNOUNCEMENT_URL_BYTES_MAX + 1];
	char secret_url[HF_ANNOUNCEMENT_URL_BYTES_MAX + 1];
	char secret_hash[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1], secret_version[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1];
	char display_name[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1], region[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1];
	char replication_topic[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1];
	bool is_open;                /* whoever comes may register */
	bool has_relay_key, has_relay_discovery_key;
	uint8_t relay_key[32], relay_discovery_key[32]; /* of the bee of the gateway's relay */
	uint64_t token_ttl_s, token_refresh_window_s;
	uint64_t max_concurrent, in_flight_weight, latency_weight, failure_weight, reassign_lag_blocks, breaker_threshold, breaker_timeout_ms;
	bool has_extension;
	size_t predecessor_count;
	struct hf_announcement_predecessor predecessors[HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX];
	uint8_t seal[HF_SIGN_SIGNATURE_BYTES]; /* of the extension, */
	uint8_t sealed[32];                    /* and the BLAKE2b of what it covers, as it was read */
};

/* HF_EMALFORMED: it is cut short, or has a text or key that is none; HF_ETOOBIG: all of it, or one text. Nothing is verified. */
int hf_announcement_decode(struct hf_slice bytes, struct hf_announcement *announcement);
/* Appends the bytes. HF_ENOMEM; HF_EINVAL: a number above 2^53-1. */
int hf_announcement_encode(const struct hf_announcement *announcement, struct hf_buffer *out);
/* Appends the JSON text that is signed. HF_ENOMEM. */
int hf_announcement_signed_text(const struct hf_announcement *announcement, struct hf_buffer *out);

/* Says that the gateway of the key `old_secret` goes on under new_key. HF_ETOOBIG: there are HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX. */
int hf_announcement_add_predecessor(struct hf_announcement *announcement, const uint8_t old_secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t new_key[static HF_SIGN_PUBLIC_BYTES], uint64_t since_ms);
/* Sets both keys, and signs all the rest, the extension too if it has one. HF_ENOMEM, HF_EINVAL. */
int hf_announcement_sign(struct hf_announcement *announcement, const uint8_t secret_key[static HF_SIGN_SECRET_BYTES]);

/* Why one that was heard is not believed; the names are those of metrics. */
enum hf_announcement_refusal {
	HF_ANNOUNCEMENT_TAKEN,
	HF_ANNOUNCEMENT_TOO_BIG,       /* "size": more than HF_ANNOUNCEMENT_BYTES_MAX, or without end */
	HF_ANNOUNCEMENT_MALFORMED,     /* "malformed" */
	HF_ANNOUNCEMENT_KEYS_DIFFER,   /* "keys": it is signed by another key than that of the gateway it speaks of */
	HF_ANNOUNCEMENT_BAD_SIGNATURE, /* "signature" */
	HF_ANNOUNCEMENT_BAD_TTL,       /* "ttl": 0, or more than HF_ANNOUNCEMENT_TTL_S_MAX */
	HF_ANNOUNCEMENT_EXPIRED,       /* "expired" */
	HF_ANNOUNCEMENT_FROM_FUTURE,   /* "future" */
	HF_ANNOUNCEMENT_BAD_URL,       /* "url" */
	HF_ANNOUNCEMENT_STALE,         /* "stale": an older one than was heard of that gateway before */
	HF_ANNOUNCEMENT_SLOW,          /* "slow": it did not come in time */
	HF_ANNOUNCEMENT_UNCHECKED,     /* "memory": ours was short; nothing is known of it */
	HF_ANNOUNCEMENT_REFUSAL_COUNT,
};
const char *hf_announcement_refusal_name(enum hf_announcement_refusal refusal);
/* All but STALE and what depends on how it came. takes_foreign_key: the signature may be of any key, as those of the first generation are:
 * nothing proves then that it is the gateway's word. */
enum hf_announcement_refusal hf_announcement_check(const struct hf_announcement *announcement, uint64_t now_ms,
	bool takes_foreign_key);
/* Whether the gateway has said with its old key `key` that it is the one announced now, and when; *since_ms then. Checked before. */
bool hf_announcement_succeeds(const struct hf_announcement *announcement, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	uint64_t *since_ms);
/* Until when it counts: timestamp and ttl. */
static inline uint64_t hf_announcement_expiry_ms(const struct hf_announcement *announcement)
{
	return announcement->timestamp_ms + announcement->ttl_s * 1000;
}
/* "http://" or "https://" (is_ws: "ws://", "wss://"), a host, and nothing but visible ASCII that has no meaning to shells or pages. */
bool hf_announcement_url_is_good(const char *url, bool is_ws);

#endif
