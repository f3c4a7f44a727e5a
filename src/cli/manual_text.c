/* manual_text: mdoc takes a dot or an apostrophe at the start of a line for a macro, and draws - ' ` ^ ~ as typographers would; commands
 * are to be copied from the page, so these are written by name. */
#include "cli/manual_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One character; returns the one after it. */
static const char *put_character(const char *text)
{
	static const struct { char plain; const char *name; } names[] = {
		{'\\', "\\e"}, {'-', "\\-"}, {'\'', "\\(aq"}, {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}, {'"', "\\(dq"}};
	unsigned char byte = (unsigned char)*text;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].plain == *text) {
			fputs(names[i].name, stdout);
			return text + 1;
		}
	if (byte < 0x80) {
		putchar(byte);
		return text + 1;
	}
	unsigned length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2, code = byte & (0x7fu >> length);
	const char *end = text + 1;
	for (; end < text + length && ((unsigned char)*end & 0xc0) == 0x80; end++)
		code = code << 6 | ((unsigned char)*end & 0x3fu);
	printf("\\[u%04X]", code);
	return end;
}

void hf_manual_word(const char *text)
{
	while (*text)
		text = put_character(text);
}

static void put_line(const char *text, size_t length, bool is_literal)
{
	const char *line = text, *end = text + length;
	bool is_bold = false;
	if (length > 0 && (*text == '.' || *text == '\''))
		fputs("\\&", stdout);
	while (text < end) {
		if (*text == '`' && !is_literal) {
			is_bold = !is_bold;
			fputs(is_bold ? "\\fB" : "\\fR", stdout);
			text++;
		} else if (*text == ' ' && !is_literal && text > line && text[-1] == '.' && text + 1 < end) {
			putchar('\n'); /* a sentence begins on a line of its own */
			text++;
		} else {
			text = put_character(text);
		}
	}
	fputs(is_bold ? "\\fR\n" : "\n", stdout);
}

void hf_manual_line(const char *text)
{
	put_line(text, strlen(text), false);
}

void hf_manual_paragraphs(const char *text)
{
	bool is_example = false, parts = false;
	while (*text) {
		size_t length = strcspn(text, "\n");
		bool of_example = length > 2 && text[0] == ' ' && text[1] == ' ';
		if (is_example && !of_example)
			fputs(".Ed\n", stdout);
		if (of_example && !is_example)
			fputs(".Bd -literal -offset indent\n", stdout);
		else if (!of_example && parts && length > 0)
			fputs(".Pp\n", stdout);
		is_example = of_example;
		parts = length == 0;
		if (length > 0)
			put_line(text + (of_example ? 2 : 0), length - (of_example ? 2 : 0), of_example);
		text += length + (text[length] == '\n');
	}
	if (is_example)
		fputs(".Ed\n", stdout);
}
