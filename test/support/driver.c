/* Lines are read by a thread of their own and come to the loop by mail. */
#include "driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct driver {
	struct hf_loop *loop;
	driver_perform *perform;
};

struct letter {
	struct hf_loop_mail mail;
	struct driver *driver;
	char *line; /* NULL: the input has ended */
};

_Noreturn void driver_die(const char *what)
{
	fprintf(stderr, "driver: %s\n", what);
	exit(1);
}

uint64_t driver_number(const json_t *command, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(command, name));
}

static void answer_line(const struct driver *driver, const char *line)
{
	json_t *command = json_loads(line, 0, NULL), *answer = json_object();
	const char *name = json_string_value(json_object_get(command, "do"));
	int code = name ? driver->perform(name, command, answer) : HF_EMALFORMED;
	if (code != HF_OK)
		json_object_set_new(answer, "error", json_string(hf_error_name(code)));
	char *text = json_dumps(answer, JSON_COMPACT);
	puts(text ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(command);
	json_decref(answer);
}

static void deliver(struct hf_loop_mail *mail)
{
	struct letter *letter = HF_CONTAINER_OF(mail, struct letter, mail);
	if (letter->line)
		answer_line(letter->driver, letter->line);
	else
		hf_loop_stop(letter->driver->loop);
	free(letter->line);
	free(letter);
}

static void *read_lines(void *context)
{
	struct driver *driver = context;
	char *line = NULL;
	size_t capacity = 0;
	for (bool is_there = true; is_there;) {
		struct letter *letter = calloc(1, sizeof *letter);
		is_there = getline(&line, &capacity, stdin) > 0;
		if (!letter)
			driver_die("out of memory");
		letter->mail.deliver = deliver;
		letter->driver = driver;
		letter->line = is_there ? strdup(line) : NULL;
		hf_loop_post(driver->loop, &letter->mail);
	}
	free(line);
	return NULL;
}

void driver_run(struct hf_loop *loop, driver_perform *perform)
{
	struct driver driver = {loop, perform};
	pthread_t reader;
	if (pthread_create(&reader, NULL, read_lines, &driver))
		driver_die("cannot start a thread");
	hf_loop_run(loop);
	pthread_join(reader, NULL);
}
