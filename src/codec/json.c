/* json: the token scanner. All state is the place in the text, the depth, one bit a level (object or array) and
 * what may come next, so depth costs no stack. Strings are in json_string.c. */
#include "codec/json.h"

enum {
	EXPECT_VALUE,        /* at the start, after a name, after a comma in an array */
	EXPECT_VALUE_OR_END, /* after [ */
	EXPECT_NAME,         /* after a comma in an object */
	EXPECT_NAME_OR_END,  /* after { */
	EXPECT_COMMA_OR_END, /* after a value inside something */
	EXPECT_NOTHING,      /* after the one value */
};

void hf_json_init(struct hf_json *json, struct hf_slice text, uint32_t depth_max)
{
	*json = (struct hf_json){
		.at = text.data,
		.start = text.data,
		.end = text.length > 0 ? text.data + text.length : text.data,
		.depth_max = depth_max < HF_JSON_DEPTH_MAX ? depth_max : HF_JSON_DEPTH_MAX,
		.expect = EXPECT_VALUE,
	};
}

static inline void skip_space(struct hf_json *json)
{
	while (json->at < json->end && *json->at <= ' ' &&
		(*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
		json->at++;
}

static inline bool in_object(const struct hf_json *json)
{
	return json->depth > 0 && (json->objects >> (json->depth - 1) & 1) != 0;
}

static inline void value_ended(struct hf_json *json)
{
	json->expect = json->depth > 0 ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static int open_level(struct hf_json *json, struct hf_json_token *token, bool object)
{
	if (json->depth >= json->depth_max)
		return HF_ETOOBIG;
	uint32_t bit = UINT32_C(1) << json->depth++;
	json->objects = object ? json->objects | bit : json->objects & ~bit;
	json->expect = object ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
	json->at++;
	token->type = object ? HF_JSON_OBJECT : HF_JSON_ARRAY;
	return HF_OK;
}

static int close_level(struct hf_json *json, struct hf_json_token *token)
{
	token->type = in_object(json) ? HF_JSON_OBJECT_END : HF_JSON_ARRAY_END;
	json->depth--;
	json->at++;
	value_ended(json);
	return HF_OK;
}

static int scan_string(struct hf_json *json, struct hf_json_token *token)
{
	unsigned features = 0;
	const uint8_t *from = json->at + 1, *quote = hf_json_scan_string(from, json->end, &features);
	if (quote == NULL)
		return HF_EMALFORMED;
	token->type = HF_JSON_STRING;
	token->features = (uint8_t)features;
	token->raw = hf_slice(from, (size_t)(quote - from));
	json->at = quote + 1;
	return HF_OK;
}

static int scan_name(struct hf_json *json, struct hf_json_token *token)
{
	if (json->at == json->end || *json->at != '"')
		return HF_EMALFORMED;
	int status = scan_string(json, token);
	if (status < 0)
		return status;
	token->is_key = true;
	skip_space(json);
	if (json->at == json->end || *json->at != ':')
		return HF_EMALFORMED;
	json->at++;
	json->expect = EXPECT_VALUE;
	return HF_OK;
}

static inline bool is_digit(uint8_t c) { return (uint8_t)(c - '0') <= 9; }

static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
	while (at < end && is_digit(*at))
		at++;
	return at;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static int scan_number(struct hf_json *json, struct hf_json_token *token)
{
	const uint8_t *at = json->at, *end = json->end, *part;
	if (*at == '-')
		at++;
	part = at;
	at = skip_digits(at, end);
	if (at == part || (*part == '0' && at - part > 1))
		return HF_EMALFORMED;
	if (at < end && *at == '.') {
		part = at + 1;
		if ((at = skip_digits(part, end)) == part)
			return HF_EMALFORMED;
	}
	if (at < end && (*at | 0x20) == 'e') {
		part = at + 1;
		if (part < end && (*part == '+' || *part == '-'))
			part++;
		if ((at = skip_digits(part, end)) == part)
			return HF_EMALFORMED;
	}
	token->type = HF_JSON_NUMBER;
	token->raw = hf_slice(json->at, (size_t)(at - json->at));
	json->at = at;
	return HF_OK;
}

static int scan_word(struct hf_json *json, struct hf_json_token *token, const char *word, enum hf_json_type type)
{
	size_t length = strlen(word);
	if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0)
		return HF_EMALFORMED;
	json->at += length;
	token->type = type;
	return HF_OK;
}

static int scan_value(struct hf_json *json, struct hf_json_token *token)
{
	int status;
	if (json->at == json->end)
		return HF_EMALFORMED;
	switch (*json->at) {
	case '{':
		return open_level(json, token, true);
	case '[':
		return open_level(json, token, false);
	case '"':
		status = scan_string(json, token);
		break;
	case 't':
		status = scan_word(json, token, "true", HF_JSON_TRUE);
		break;
	case 'f':
		status = scan_word(json, token, "false", HF_JSON_FALSE);
		break;
	case 'n':
		status = scan_word(json, token, "null", HF_JSON_NULL);
		break;
	default:
		status = scan_number(json, token);
	}
	if (status == HF_OK)
		value_ended(json);
	return status;
}

int hf_json_next(struct hf_json *json, struct hf_json_token *token)
{
	*token = (struct hf_json_token){.type = HF_JSON_END};
	skip_space(json);
	if (json->expect == EXPECT_NOTHING)
		return json->at == json->end ? HF_OK : HF_EMALFORMED;
	if (json->at == json->end)
		return HF_EMALFORMED;
	if (json->expect != EXPECT_VALUE && json->expect != EXPECT_NAME &&
		*json->at == (in_object(json) ? '}' : ']'))
		return close_level(json, token);
	if (json->expect == EXPECT_COMMA_OR_END) {
		if (*json->at != ',')
			return HF_EMALFORMED;
		json->at++;
		json->expect = in_object(json) ? EXPECT_NAME : EXPECT_VALUE;
		skip_space(json);
	}
	if (json->expect == EXPECT_NAME || json->expect == EXPECT_NAME_OR_END)
		return scan_name(json, token);
	return scan_value(json, token);
}

int hf_json_open_value(struct hf_json *json)
{
	skip_space(json);
	if (json->expect == EXPECT_COMMA_OR_END && !in_object(json)) {
		if (json->at == json->end || *json->at != ',')
			return HF_EMALFORMED;
		json->at++;
		json->expect = EXPECT_VALUE;
		skip_space(json);
	}
	if (json->at == json->end || (json->expect != EXPECT_VALUE && json->expect != EXPECT_VALUE_OR_END))
		return HF_EMALFORMED;
	return HF_OK;
}

void hf_json_close_value(struct hf_json *json, const uint8_t *at)
{
	json->at = at;
	value_ended(json);
}

static int skip_to_depth(struct hf_json *json, uint32_t depth)
{
	struct hf_json_token token;
	while (json->depth > depth) {
		int status = hf_json_next(json, &token);
		if (status < 0)
			return status;
	}
	return HF_OK;
}

int hf_json_skip(struct hf_json *json)
{
	struct hf_json_token token;
	int status = hf_json_open_value(json);
	if (status < 0)
		return status;
	uint32_t depth = json->depth;
	status = hf_json_next(json, &token);
	if (status < 0)
		return status;
	/* With EXPECT_VALUE_OR_END the token may have been the end of the array instead of a value. */
	return json->depth < depth ? HF_EMALFORMED : skip_to_depth(json, depth);
}

int hf_json_leave(struct hf_json *json)
{
	return json->depth == 0 ? HF_EINVAL : skip_to_depth(json, json->depth - 1);
}

int hf_json_u64(struct hf_slice number, uint64_t *value)
{
	uint64_t sum = 0;
	if (number.length == 0 || (number.data[0] == '0' && number.length > 1))
		return HF_EMALFORMED;
	for (size_t i = 0; i < number.length; i++)
		if (!is_digit(number.data[i]))
			return HF_EMALFORMED;
	for (size_t i = 0; i < number.length; i++)
		if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, number.data[i] - '0', &sum))
			return HF_ETOOBIG;
	*value = sum;
	return HF_OK;
}

size_t hf_json_write_u64(uint8_t out[static HF_JSON_U64_BYTES_MAX], uint64_t value)
{
	uint8_t reversed[HF_JSON_U64_BYTES_MAX];
	size_t length = 0;
	do {
		reversed[length++] = (uint8_t)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < length; i++)
		out[i] = reversed[length - 1 - i];
	return length;
}
