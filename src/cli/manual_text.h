/* manual_text: text in mdoc, the language of manual pages. */
#ifndef HF_CLI_MANUAL_TEXT_H
#define HF_CLI_MANUAL_TEXT_H

#include <stddef.h>

/* A word, or several, as one argument of a macro or within a line: nothing in it means anything to mdoc. */
void hf_manual_word(const char *text);
/* A line of running text: what stands between ` and ` is bold. */
void hf_manual_line(const char *text);
/* Paragraphs as the table of commands has them: an empty line parts them, a line that begins with two blanks is an example. */
void hf_manual_paragraphs(const char *text);

#endif
