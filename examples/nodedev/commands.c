// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which commands there are, what they take, and their help. */

#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

static int cmd_help(struct nodedev *nd, struct args *args);
static int cmd_version(struct nodedev *nd, struct args *args);
static int cmd_quit(struct nodedev *nd, struct args *args);

static const struct {
	const char *name;
	bool value;
} options[OPT_COUNT] = {
	[OPT_ALL] = { "all", false },
	[OPT_DEVICES] = { "devices", false },
	[OPT_EXIST_OK] = { "exist-ok", false },
	[OPT_GROUP] = { "group", false },
	[OPT_ID] = { "id", true },
	[OPT_AUTOSTART] = { "autostart", false },
	[OPT_DISABLE] = { "disable", false },
	[OPT_NO_CALLOUTS] = { "no-callouts", false },
	[OPT_INACTIVE] = { "inactive", false },
	[OPT_INCOMPLETE] = { "incomplete", false },
	[OPT_JSON] = { "json", false },
	[OPT_LIBVIRT] = { "libvirt", false },
	[OPT_NAMES] = { "names", false },
	[OPT_NUMBER] = { "count", true },
	[OPT_OWNED] = { "owned", false },
	[OPT_OWNER] = { "owner", true },
	[OPT_PACK] = { "pack", false },
	[OPT_PARENTS] = { "parents", false },
	[OPT_TIMEOUT] = { "timeout", true },
	[OPT_TREE] = { "tree", false },
	[OPT_TYPES] = { "types", false },
};

static const struct command commands[] = {
	{ "list", BIT(OPT_PARENTS) | BIT(OPT_DEVICES) | BIT(OPT_INACTIVE) | BIT(OPT_ALL) | BIT(OPT_TREE) |
	  BIT(OPT_TYPES) | BIT(OPT_NAMES) | BIT(OPT_JSON), 0, 0, cmd_list,
	  "list [--parents | --devices] [--inactive | --all] [--tree] [--types] [--names | --json]",
	  "list parents and mediated devices",
	  "Lists the parents and the devices that exist now, parents first. --parents or\n"
	  "--devices limits it to these; --inactive lists defined devices that do not\n"
	  "exist now, --all both. --tree shows devices under their parents, --types what\n"
	  "each parent can create, --names nothing but names, one a line.\n" },
	{ "types", BIT(OPT_JSON), 0, 2, cmd_types,
	  "types [PARENT [TYPE]] [--json]",
	  "list what a parent can create",
	  "Lists the types of PARENT, or of every parent, and how many devices of each can\n"
	  "be created now. TYPE is an id or a name; a space in a name may be written '_'.\n" },
	{ "info", BIT(OPT_ID) | BIT(OPT_JSON), 1, 1, cmd_info,
	  "info NAME|UUID [--id ID] [--json]",
	  "show everything known about a parent or a device",
	  "Shows a parent with the attributes of its types, or a device with what starts\n"
	  "it in a guest: QEMU's -device argument, the QMP command that plugs it into a\n"
	  "running guest (under the given --id), and libvirt's <hostdev> element.\n" },
	{ "dumpxml", BIT(OPT_LIBVIRT) | BIT(OPT_INACTIVE), 1, 1, cmd_dumpxml,
	  "dumpxml NAME|UUID [--libvirt] [--inactive]",
	  "print the XML of a parent or a device",
	  "The XML is in the dialect of the mediated device proposal; with --libvirt in\n"
	  "the schema of libvirt's node devices. With --inactive the definition of a\n"
	  "device is printed, also while it runs.\n" },
	{ "dumphost", 0, 0, 1, cmd_dumphost,
	  "dumphost [FILE]",
	  "write the whole host to a file that can be replayed",
	  "Writes to FILE or standard output. 'nodedev -c test:///PATH' then works on a\n"
	  "simulated copy of this host; attach such a file to a bug report.\n" },
	{ "create",
	  BIT(OPT_EXIST_OK) | BIT(OPT_GROUP) | BIT(OPT_JSON) | BIT(OPT_NO_CALLOUTS) | BIT(OPT_OWNER) | BIT(OPT_PACK),
	  1, -1, cmd_create,
	  "create FILE|- [--exist-ok] [--pack] [--owner NAME] [--no-callouts] [--json]\n"
	  "    create --group FILE|- FILE|-... [--exist-ok] [--pack] [--owner NAME]\n"
	  "        [--no-callouts] [--json]",
	  "create a device from XML, or several as one group",
	  "FILE holds a <device> in either dialect. '-' reads standard input up to a line\n"
	  "with just a dot, or to its end. --exist-ok takes an existing device of the same\n"
	  "UUID, parent and type for success. --pack prefers parents that are in use\n"
	  "already. --owner records who made it. --group creates all or none, for one\n"
	  "guest. --no-callouts does not run mdevctl's scripts. With 'nodedev -q' only\n"
	  "UUIDs are printed.\n" },
	{ "destroy", BIT(OPT_INCOMPLETE) | BIT(OPT_NO_CALLOUTS) | BIT(OPT_OWNED) | BIT(OPT_OWNER), 1, -1, cmd_destroy,
	  "destroy NAME|UUID... [--owned] [--no-callouts]\n"
	  "    destroy --incomplete [--owner NAME] [--no-callouts]",
	  "destroy devices",
	  "A device that a guest uses is left alone. --owned refuses devices that were not\n"
	  "created under the owner that 'nodedev --owner NAME' gives. --no-callouts does\n"
	  "not run mdevctl's scripts. --incomplete destroys the devices of\n"
	  "groups whose creation was killed; with --owner, only groups of that owner.\n" },
	{ "define", BIT(OPT_AUTOSTART) | BIT(OPT_JSON) | BIT(OPT_NO_CALLOUTS), 1, 1, cmd_define,
	  "define FILE|- [--autostart] [--no-callouts] [--json]",
	  "define a device that persists, or change its definition",
	  "FILE holds a <device> with a <parent>, in either dialect. The definition is\n"
	  "mdevctl's own, below /etc/mdevctl.d. What runs stays as it is until its next\n"
	  "start. --autostart has it started when its parent appears. --no-callouts does\n"
	  "not run mdevctl's scripts.\n" },
	{ "undefine", BIT(OPT_NO_CALLOUTS), 1, -1, cmd_undefine,
	  "undefine NAME|UUID... [--no-callouts]",
	  "forget definitions",
	  "A device that runs goes on until it is destroyed.\n" },
	{ "start", BIT(OPT_NO_CALLOUTS), 1, -1, cmd_start,
	  "start NAME|UUID... [--no-callouts]",
	  "start devices that are defined",
	  "Each is created as it is defined now, and its attributes are written in order.\n" },
	{ "autostart", BIT(OPT_NO_CALLOUTS), 0, 1, cmd_autostart,
	  "autostart [PARENT] [--no-callouts]",
	  "start what is defined to start with its parent",
	  "On PARENT, or on every parent that is there; for start-up scripts. PARENT may\n"
	  "be a VF: that is what is defined on it, and on its PF. Devices that run already\n"
	  "are left alone, and every failure is named in the end, a definition that cannot\n"
	  "be used among them. The exit status is 75 when PARENT offers no types yet.\n" },
	{ "set-autostart", BIT(OPT_DISABLE), 1, -1, cmd_set_autostart,
	  "set-autostart NAME|UUID... [--disable]",
	  "have devices started with their parents",
	  "With --disable they are started by hand only. mdevctl's scripts are always\n"
	  "asked; 'define --autostart --no-callouts' does not run them.\n" },
	{ "reset", 0, 1, 1, cmd_reset,
	  "reset NAME|UUID",
	  "reset a device",
	  "Not every sysfs layout can do it.\n" },
	{ "online", 0, 1, 1, cmd_online,
	  "online NAME|UUID",
	  "set a device online",
	  "Not every sysfs layout can do it.\n" },
	{ "offline", 0, 1, 1, cmd_offline,
	  "offline NAME|UUID",
	  "set a device offline",
	  "Not every sysfs layout can do it.\n" },
	{ "attr", BIT(OPT_JSON), 2, 4, cmd_attr,
	  "attr list NAME|UUID [--json]\n"
	  "    attr get NAME|UUID ATTRIBUTE\n"
	  "    attr set NAME|UUID ATTRIBUTE VALUE",
	  "list, read or write attributes of a device",
	  "An attribute is a file in the device's sysfs folder, or in a folder there\n"
	  "(nvidia/vgpu_params); it is read when you ask.\n" },
	{ "wait", BIT(OPT_TIMEOUT), 1, 1, cmd_wait,
	  "wait PARENT [--timeout SECONDS]",
	  "wait until a parent can create devices",
	  "For start-up scripts: returns as soon as the driver has registered PARENT, and\n"
	  "fails after SECONDS (60 unless given; 0 looks once).\n" },
	{ "event", BIT(OPT_NUMBER) | BIT(OPT_JSON) | BIT(OPT_TIMEOUT), 0, -1, cmd_event,
	  "event [--count N] [--timeout SECONDS] [--json] [COMMAND...]",
	  "print how nodes come, change and go",
	  "Prints a line for each event as it comes: created, deleted, updated, defined,\n"
	  "undefined, or overrun when events were lost. It ends after N events, which is\n"
	  "success, or after SECONDS, which is not when N have not come; otherwise it goes\n"
	  "on until it is interrupted. --json prints an object on each line. COMMAND, or\n"
	  "each of several in one argument, is run when the listening has begun, and what\n"
	  "it does is told; without --count and --timeout that is all.\n" },
	{ "version", 0, 0, 0, cmd_version,
	  "version", "print the version of the library", "" },
	{ "help", 0, 0, 1, cmd_help,
	  "help [COMMAND]", "print help", "" },
	{ "quit", 0, 0, 0, cmd_quit,
	  "quit", "leave; commands after it are not run", "'exit' is the same.\n" },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct command *find_command(const char *name)
{
	size_t i;

	if (!strcmp(name, "exit"))
		name = "quit";
	for (i = 0; i < COUNT(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

void print_usage(FILE *out)
{
	size_t i;

	fputs("Usage: nodedev [OPTION]... COMMAND [ARG]... [';' COMMAND [ARG]...]...\n"
	      "       nodedev [OPTION]... 'COMMAND; COMMAND...'\n"
	      "       nodedev [OPTION]...        (commands from standard input)\n"
	      "\n"
	      "Manages mediated devices.\n"
	      "\n"
	      "Options:\n"
	      "  -c, --connect URI    mdev:///system (this host, the default), test:///default (a\n"
	      "                       simulated one), test:///PATH (a dumped one); or set\n"
	      "                       MDEV_DEFAULT_URI\n"
	      "      --owner NAME     who creates, and who may destroy --owned\n"
	      "  -e, --stop-on-error  leave after the first command that fails\n"
	      "  -q, --quiet          no table headers, no messages of success\n"
	      "  -x, --echo           print what is read from standard input\n"
	      "  -v, --verbose        what the library logs, on standard error\n"
	      "  -h, --help           this help\n"
	      "  -V, --version        the version\n"
	      "\n"
	      "Commands ('nodedev help COMMAND' tells more):\n", out);
	for (i = 0; i < COUNT(commands); i++)
		fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "Exit status: 0 all went well, 1 a command failed, 2 a command was not understood.\n", out);
}

static void print_help(const struct command *c)
{
	printf("Usage:\n    %s\n\n%s.\n%s", c->synopsis, c->summary, c->help);
}

/* The option that `word` (behind its dashes) begins with; OPT_COUNT: none. */
static enum opt find_option(const char *word, const char **value)
{
	size_t len = strcspn(word, "=");
	enum opt opt;

	*value = word[len] ? word + len + 1 : NULL;
	for (opt = 0; opt < OPT_COUNT; opt++)
		if (strlen(options[opt].name) == len && !strncmp(options[opt].name, word, len))
			return opt;
	return OPT_COUNT;
}

/* One option; `words` moves on when its value is a word of its own. */
static int take_option(const struct command *c, struct args *args, char ***words)
{
	const char *value, *word = **words;
	enum opt opt = find_option(word + 2, &value);

	if (opt == OPT_COUNT || !(c->options & BIT(opt))) {
		complain("command '%s' has no option '%s'; see 'nodedev help %s'", c->name, word, c->name);
		return USAGE;
	}
	if (!options[opt].value && value) {
		complain("option '--%s' takes no value", options[opt].name);
		return USAGE;
	}
	if (options[opt].value && !value) {
		value = (*words)[1];
		if (!value) {
			complain("option '--%s' needs a value", options[opt].name);
			return USAGE;
		}
		++*words;
	}
	args->given |= BIT(opt);
	args->value[opt] = value;
	return OK;
}

/* "-" is a file and "-1" a value. */
static bool is_operand(const char *word)
{
	return word[0] != '-' || !word[1] || (word[1] >= '0' && word[1] <= '9');
}

static bool wants_help(char **words)
{
	for (; *words && strcmp(*words, "--"); words++)
		if (!strcmp(*words, "--help") || !strcmp(*words, "-h"))
			return true;
	return false;
}

/* Separates options from operands. `operands` is large enough for every word. */
static int read_args(const struct command *c, char **words, struct args *args, char **operands)
{
	bool only_operands = false;
	int min, max;

	memset(args, 0, sizeof(*args));
	args->word = operands;
	for (; *words; words++) {
		if (only_operands || is_operand(*words)) {
			operands[args->count++] = *words;
		} else if (!strcmp(*words, "--")) {
			only_operands = true;
		} else if ((*words)[1] != '-') {
			complain("command '%s' has no option '%s'; see 'nodedev help %s'", c->name, *words,
				 c->name);
			return USAGE;
		} else if (take_option(c, args, &words) != OK) {
			return USAGE;
		}
	}
	/* --incomplete replaces the operands. */
	min = given(args, OPT_INCOMPLETE) ? 0 : c->min;
	max = given(args, OPT_INCOMPLETE) ? 0 : c->max;
	if (args->count < min || (max >= 0 && args->count > max)) {
		complain("command '%s' has too %s operands; see 'nodedev help %s'", c->name,
			 args->count < min ? "few" : "many", c->name);
		return USAGE;
	}
	return OK;
}

static int prepare(char **words, struct args *args, char ***operands)
{
	const struct command *c = find_command(words[0]);
	size_t n = 0;

	*operands = NULL;
	if (!c) {
		complain("unknown command: '%s'; see 'nodedev help'", words[0]);
		return USAGE;
	}
	while (words[n])
		n++;
	/* A command may take its operands for a list, which ends with NULL. */
	*operands = xrealloc(NULL, (n + 1) * sizeof(char *));
	return wants_help(words + 1) ? OK : read_args(c, words + 1, args, *operands);
}

int check_command(char **words)
{
	char **operands;
	struct args args;
	int rc = prepare(words, &args, &operands);

	free(operands);
	return rc;
}

int run_command(struct nodedev *nd, char **words)
{
	const struct command *c = find_command(words[0]);
	char **operands;
	struct args args;
	int rc = prepare(words, &args, &operands);

	if (rc == OK && wants_help(words + 1))
		print_help(c);
	else if (rc == OK)
		rc = c->run(nd, &args);
	free(operands);
	return rc;
}

static int cmd_help(struct nodedev *nd, struct args *args)
{
	const struct command *c;

	(void)nd;
	if (!args->count) {
		print_usage(stdout);
		return OK;
	}
	c = find_command(args->word[0]);
	if (!c) {
		complain("unknown command: '%s'; see 'nodedev help'", args->word[0]);
		return USAGE;
	}
	print_help(c);
	return OK;
}

static int cmd_version(struct nodedev *nd, struct args *args)
{
	(void)nd;
	(void)args;
	printf("nodedev (libmdev) %s\n", mdev_version());
	return OK;
}

static int cmd_quit(struct nodedev *nd, struct args *args)
{
	(void)args;
	nd->quit = true;
	return OK;
}
