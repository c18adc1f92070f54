// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reads XML before libmdev does, with libxml2, as libvirt does. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/tree.h>

#include "module.h"

/* NULL if the text is not XML, or has a DTD, whose entities could expand without limit: libmdev's reader reports the error. */
static xmlDocPtr parse(const char *xml)
{
	xmlDocPtr doc = xmlReadMemory(xml, (int)strnlen(xml, 1 << 20), "node-device.xml", NULL,
				      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);

	if (doc && doc->intSubset) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	return doc;
}

static xmlNodePtr child(xmlNodePtr node, const char *name)
{
	for (node = node ? node->children : NULL; node; node = node->next) {
		if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, BAD_CAST name))
			break;
	}
	return node;
}

/* The type of the capability of a <device>, to be freed with xmlFree(). */
static xmlChar *capability_type(const char *xml)
{
	xmlDocPtr doc = parse(xml);
	xmlNodePtr root = doc ? xmlDocGetRootElement(doc) : NULL;
	bool is_device = root && xmlStrEqual(root->name, BAD_CAST "device");
	xmlNodePtr capability = is_device ? child(root, "capability") : NULL;
	xmlChar *type = capability ? xmlGetNoNsProp(capability, BAD_CAST "type") : NULL;

	xmlFreeDoc(doc);
	return type;
}

bool xml_is_for_stock(const char *xml)
{
	xmlChar *type = capability_type(xml);
	bool ret = type && !xmlStrEqual(type, BAD_CAST "mdev");

	xmlFree(type);
	return ret;
}

bool xml_is_for_mdev(const char *xml)
{
	xmlChar *type = capability_type(xml);
	bool ret = xmlStrEqual(type, BAD_CAST "mdev");

	xmlFree(type);
	return ret;
}

/* Without leading and trailing white space, as in libmdev. */
static char *trimmed(const char *text)
{
	static const char space[] = " \t\r\n";
	size_t length;

	text += strspn(text, space);
	length = strlen(text);
	while (length && strchr(space, text[length - 1]))
		length--;
	return strndup(text, length);
}

char *xml_text(const char *xml, const char *name)
{
	xmlDocPtr doc = parse(xml);
	xmlNodePtr element = child(doc ? xmlDocGetRootElement(doc) : NULL, name);
	xmlChar *text = element ? xmlNodeGetContent(element) : NULL;
	char *ret = text ? trimmed((const char *)text) : NULL;

	xmlFree(text);
	xmlFreeDoc(doc);
	return ret;
}

/* Adds a name if there is none: the schema describes printed XML, in which the name is the first element. */
static void add_name(xmlDocPtr doc)
{
	xmlNodePtr root = xmlDocGetRootElement(doc), name;

	if (!root || child(root, "name"))
		return;
	name = xmlNewDocNode(doc, NULL, BAD_CAST "name", BAD_CAST "new device");
	if (root->children)
		xmlAddPrevSibling(root->children, name);
	else
		xmlAddChild(root, name);
}

struct finding {
	char text[512];
	int line;
};

/* The argument of a callback for errors is const since libxml2 2.12. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *xml_error;
#else
typedef xmlErrorPtr xml_error;
#endif

/* Keeps only the last error: the earlier errors are about alternatives of the schema that the validator tried. */
static void note(void *data, xml_error error)
{
	struct finding *finding = data;

	snprintf(finding->text, sizeof(finding->text), "%s", error->message ? error->message : "no reason given");
	finding->text[strcspn(finding->text, "\n")] = '\0';
	finding->line = error->line;
}

static int validate(xmlDocPtr doc)
{
	xmlRelaxNGParserCtxtPtr parser = xmlRelaxNGNewParserCtxt(NODEDEV_SCHEMA);
	xmlRelaxNGPtr schema = parser ? xmlRelaxNGParse(parser) : NULL;
	xmlRelaxNGValidCtxtPtr context = schema ? xmlRelaxNGNewValidCtxt(schema) : NULL;
	struct finding finding = { "no reason given", 0 };
	int rc = 0;

	if (!context) {
		fail(VIR_ERR_OPERATION_FAILED, "libvirt's schema cannot be read: %s", NODEDEV_SCHEMA);
		rc = -1;
	} else {
		xmlRelaxNGSetValidStructuredErrors(context, note, &finding);
		if (xmlRelaxNGValidateDoc(context, doc) != 0) {
			fail(VIR_ERR_XML_INVALID_SCHEMA, "%s: line %d: %s", NODEDEV_SCHEMA, finding.line, finding.text);
			rc = -1;
		}
	}
	xmlRelaxNGFreeValidCtxt(context);
	xmlRelaxNGFree(schema);
	xmlRelaxNGFreeParserCtxt(parser);
	return rc;
}

int xml_validate(const char *xml)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	xmlDocPtr doc = parse(xml);
	int rc = 0;

	/* Any other root element is an error that libmdev reports, as libvirt does before it validates. */
	if (doc && xmlStrEqual(xmlDocGetRootElement(doc)->name, BAD_CAST "device")) {
		add_name(doc);
		pthread_mutex_lock(&lock);
		rc = validate(doc);
		pthread_mutex_unlock(&lock);
	}
	xmlFreeDoc(doc);
	return rc;
}
