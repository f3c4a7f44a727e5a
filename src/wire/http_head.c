/* The head is checked line by line against the strict grammar first, since http-parser as distributions build it
 * forgives bare LF, folding and odd characters; http-parser then takes it apart. The head is contiguous, so every
 * callback reports a whole element. */
#include "wire/http_head.h"

#include <http_parser.h>

static bool is_token_character(uint8_t c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_text_character(uint8_t c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* field-name ":" OWS field-value OWS (RFC 9112, 5): no space before the colon, no folding. */
static bool field_line_is_strict(const uint8_t *line, size_t length)
{
	size_t i = 0;
	while (i < length && is_token_character(line[i]))
		i++;
	if (i == 0 || i == length || line[i] != ':')
		return false;
	for (; i < length; i++)
		if (!is_text_character(line[i]))
			return false;
	return true;
}

static bool start_line_is_strict(const uint8_t *line, size_t length, enum hf_http_role role)
{
	for (size_t i = 0; i < length; i++)
		if (role == HF_HTTP_SERVER ? line[i] < 0x20 || line[i] >= 0x7f : !is_text_character(line[i]))
			return false;
	if (role == HF_HTTP_CLIENT)
		return length >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ';
	/* method SP target SP version: exactly two spaces. */
	const uint8_t *first = memchr(line, ' ', length);
	if (!first || first == line)
		return false;
	const uint8_t *second = memchr(first + 1, ' ', (size_t)(line + length - first - 1));
	if (!second || second == first + 1)
		return false;
	return line + length - second == 9 && memcmp(second + 1, "HTTP/", 5) == 0;
}

static bool head_is_strict(struct hf_slice head, enum hf_http_role role)
{
	const uint8_t *line = head.data, *end = head.data + head.length;
	for (bool is_first = true; line < end; is_first = false) {
		const uint8_t *newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline || newline == line || newline[-1] != '\r')
			return false;
		size_t length = (size_t)(newline - 1 - line);
		if (length == 0)
			return newline + 1 == end && !is_first;
		if (is_first ? !start_line_is_strict(line, length, role) : !field_line_is_strict(line, length))
			return false;
		line = newline + 1;
	}
	return false;
}

static bool consists_of(struct hf_slice text, bool (*is_allowed)(uint8_t c))
{
	for (size_t i = 0; i < text.length; i++)
		if (!is_allowed(text.data[i]))
			return false;
	return true;
}

bool hf_http_method_is_strict(struct hf_slice method)
{
	return method.length > 0 && consists_of(method, is_token_character);
}

bool hf_http_target_is_strict(struct hf_slice target)
{
	if (target.length == 0 || target.data[0] != '/' || !consists_of(target, is_text_character))
		return false;
	return memchr(target.data, ' ', target.length) == NULL && memchr(target.data, '\t', target.length) == NULL;
}

bool hf_http_field_is_strict(const struct hf_http_field *field)
{
	return hf_http_method_is_strict(field->name) && consists_of(field->value, is_text_character);
}

static int on_target(http_parser *parser, const char *at, size_t length)
{
	((struct hf_http_head *)parser->data)->target = hf_slice(at, length);
	return 0;
}

static int on_field_name(http_parser *parser, const char *at, size_t length)
{
	struct hf_http_head *head = parser->data;
	if (head->field_count == HF_HTTP_FIELD_COUNT_MAX)
		return 1;
	head->fields[head->field_count++] = (struct hf_http_field){.name = hf_slice(at, length)};
	return 0;
}

static int on_field_value(http_parser *parser, const char *at, size_t length)
{
	struct hf_http_head *head = parser->data;
	while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
		length--;
	head->fields[head->field_count - 1].value = hf_slice(at, length);
	return 0;
}

static int on_head_complete(http_parser *parser)
{
	struct hf_http_head *head = parser->data;
	head->major_version = parser->http_major;
	head->minor_version = parser->http_minor;
	head->status = parser->status_code;
	head->keep_alive = http_should_keep_alive(parser);
	head->upgrade = (parser->flags & F_UPGRADE) && (parser->flags & F_CONNECTION_UPGRADE);
	return 1; /* the body is not this parser's */
}

int hf_http_head_parse(struct hf_slice head, enum hf_http_role role, struct hf_http_head *out)
{
	static const http_parser_settings settings = {
		.on_url = on_target,
		.on_header_field = on_field_name,
		.on_header_value = on_field_value,
		.on_headers_complete = on_head_complete,
	};
	if (!head_is_strict(head, role))
		return HF_EMALFORMED;
	http_parser parser;
	http_parser_init(&parser, role == HF_HTTP_SERVER ? HTTP_REQUEST : HTTP_RESPONSE);
	out->field_count = 0;
	out->method = out->target = hf_slice(NULL, 0);
	out->major_version = 0;
	parser.data = out;
	size_t eaten = http_parser_execute(&parser, &settings, (const char *)head.data, head.length);
	if (HTTP_PARSER_ERRNO(&parser) != HPE_OK || eaten != head.length || out->major_version == 0)
		return out->field_count == HF_HTTP_FIELD_COUNT_MAX ? HF_ETOOBIG : HF_EMALFORMED;
	if (role == HF_HTTP_SERVER)
		out->method = hf_slice_text(http_method_str(parser.method));
	return HF_OK;
}
