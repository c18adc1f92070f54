/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nodedev: manage mediated devices from the shell.
 *
 * A program over the public interface of libmdev and nothing else; read it as
 * a long example. main.c reads the command line, shell.c splits commands as
 * virsh does, commands.c says which commands there are, cmd-*.c carry them
 * out, output.c makes tables and JSON.
 */
#ifndef NODEDEV_H
#define NODEDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <libmdev.h>

#define PROMPT "nodedev # "

/* What a command, and in the end the program, exits with. */
/* AGAIN is EX_TEMPFAIL of sysexits.h. */
enum { OK = 0, FAILED = 1, USAGE = 2, AGAIN = 75 };

/* One run of the program. */
struct nodedev {
	struct mdev_conn *conn;		/* opened by the first command that needs it */
	const char *uri;
	const char *owner;
	bool quiet;
	bool verbose;
	bool stop_on_error;
	bool echo;			/* print what is read from standard input */
	bool prompt;			/* a person types the commands */
	bool quit;			/* the command `quit` was given */
};

/* ---- output.c: strings, tables, JSON ---- */

/* A string that grows. `s` is NULL until something is added. */
struct buf {
	char *s;
	size_t len;
	size_t cap;
};

void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
void buf_add(struct buf *b, const char *s, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

/* `error: SENTENCE` on stderr, after what stdout still holds. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with what the library has to say about its last call. Returns FAILED. */
int complain_mdev(int rc);
/* Text from a device or a file, made harmless for a terminal. */
void print_safe(FILE *out, const char *s);

/* A table in the manner of virsh: a header, a rule, left-aligned columns. */
struct table {
	unsigned int columns;
	unsigned int rows;
	char **cells;
	size_t used;
	size_t cap;
};

void table_init(struct table *t, unsigned int columns, ...);	/* header texts */
void table_cell(struct table *t, const char *text);		/* NULL prints as "-" */
void table_number(struct table *t, int rc, unsigned int value);	/* "-" when rc < 0 */
void table_print(struct table *t, bool header);			/* and frees */

/* JSON, indented by two spaces. A NULL key makes an array member. */
struct json {
	struct buf out;
	unsigned int depth;
	bool empty;		/* the innermost array or object has no member so far */
	bool compact;		/* all on one line */
};

void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_string(struct json *j, const char *key, const char *value);	/* NULL: no member */
void json_number(struct json *j, const char *key, long long value);
void json_bool(struct json *j, const char *key, bool value);
/* JSON that somebody else made; NULL: no member. */
void json_raw(struct json *j, const char *key, const char *text);
void json_print(struct json *j);	/* and frees */

/* ---- shell.c: words and lines ---- */

/* Commands, each a list of words that ends with NULL. */
struct script {
	char ***commands;
	size_t count;
};

int script_parse(struct script *s, const char *text);	/* USAGE, and said why, on a lone quote */
int script_from_argv(struct script *s, char **argv);
void script_free(struct script *s);

/* Reads the next command line of standard input: OK, or USAGE, and said why. NULL in `ret` at the end. */
int read_command_line(char **ret);
/*
 * A whole file; "-" reads standard input up to a line that holds just a dot,
 * or to its end. NULL, and said why, when it cannot be read or is no text.
 */
char *read_document(struct nodedev *nd, const char *path);

/* ---- commands.c: the list of commands ---- */

enum opt {
	OPT_ALL, OPT_AUTOSTART, OPT_DEVICES, OPT_DISABLE, OPT_EXIST_OK, OPT_GROUP, OPT_ID, OPT_INACTIVE, OPT_INCOMPLETE, OPT_JSON,
	OPT_LIBVIRT, OPT_NAMES, OPT_NO_CALLOUTS, OPT_NUMBER, OPT_OWNED, OPT_OWNER, OPT_PACK, OPT_PARENTS, OPT_TIMEOUT, OPT_TREE,
	OPT_TYPES, OPT_COUNT
};

#define BIT(opt) (1u << (opt))

/* A command's words, told apart into options and operands. */
struct args {
	unsigned int given;			/* BIT(OPT_...) */
	const char *value[OPT_COUNT];		/* of the options that take one */
	char **word;				/* operands */
	int count;
};

struct command {
	const char *name;
	unsigned int options;
	int min;
	int max;				/* -1: any number */
	int (*run)(struct nodedev *nd, struct args *args);
	const char *synopsis;
	const char *summary;
	const char *help;
};

static inline bool given(const struct args *args, enum opt opt)
{
	return args->given & BIT(opt);
}

const struct command *find_command(const char *name);
int check_command(char **words);			/* USAGE, and said why, when it cannot be run */
int run_command(struct nodedev *nd, char **words);
void print_usage(FILE *out);

/* ---- cmd-*.c ---- */

int cmd_list(struct nodedev *nd, struct args *args);
int cmd_types(struct nodedev *nd, struct args *args);
int cmd_info(struct nodedev *nd, struct args *args);
/* `id` is what QEMU shall call the device; NULL: the library chooses. */
void print_info(struct mdev_device *dev, const char *id, bool as_json);
int cmd_dumpxml(struct nodedev *nd, struct args *args);
int cmd_dumphost(struct nodedev *nd, struct args *args);
int cmd_create(struct nodedev *nd, struct args *args);
int cmd_destroy(struct nodedev *nd, struct args *args);
int cmd_reset(struct nodedev *nd, struct args *args);
int cmd_online(struct nodedev *nd, struct args *args);
int cmd_offline(struct nodedev *nd, struct args *args);
int cmd_attr(struct nodedev *nd, struct args *args);
int cmd_wait(struct nodedev *nd, struct args *args);
/* "5" or "0.5"; -1 for what is no number of seconds, or too long. */
int milliseconds(const char *seconds);
int cmd_event(struct nodedev *nd, struct args *args);
int cmd_define(struct nodedev *nd, struct args *args);
int cmd_undefine(struct nodedev *nd, struct args *args);
int cmd_start(struct nodedev *nd, struct args *args);
int cmd_autostart(struct nodedev *nd, struct args *args);
int cmd_set_autostart(struct nodedev *nd, struct args *args);

/* ---- nodes.c: what several commands need ---- */

/* Opens the connection if it is not open yet. */
int need_conn(struct nodedev *nd);
/* A node by UUID, name, or what else the library takes for a name. */
int lookup(struct nodedev *nd, const char *what, struct mdev_device **ret);

/* The string that a getter gives, or NULL where the node has none. */
typedef int (*string_getter)(struct mdev_device *dev, const char **ret);
const char *get(struct mdev_device *dev, string_getter getter);

/* Calls `fn` for each attribute of a type but its name. */
typedef void (*attr_fn)(const char *name, const char *value, void *data);
void each_type_attr(const struct mdev_type *type, attr_fn fn, void *data);
/* An array of the parent's types, or of one of them. */
void json_types(struct json *j, const char *key, struct mdev_device *parent, const struct mdev_type *only);
/* The members of a node; the caller opens and closes the object. */
void json_node(struct json *j, struct mdev_device *dev, bool types);

#endif
