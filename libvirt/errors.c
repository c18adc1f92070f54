// SPDX-License-Identifier: LGPL-2.1-or-later
/* Raises errors of libmdev as errors of libvirt: the code is translated, the message is unchanged. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridge.h"

static int libvirt_code(int code)
{
	switch (code) {
	case MDEV_ERROR_NO_NODE:
		return VIR_ERR_NO_NODE_DEVICE;
	case MDEV_ERROR_INVALID_ARGUMENT:
	case MDEV_ERROR_INVALID_HANDLE:
	case MDEV_ERROR_INVALID_FLAGS:
	case MDEV_ERROR_INVALID_URI:
		return VIR_ERR_INVALID_ARG;
	case MDEV_ERROR_XML_SYNTAX:
	case MDEV_ERROR_XML_LIMIT:
		return VIR_ERR_XML_ERROR;
	/* The code of libvirt's own driver for a missing or unknown parent or type. Nova handles this code. */
	case MDEV_ERROR_XML_CONTENT:
	case MDEV_ERROR_NO_PARENT:
	case MDEV_ERROR_NO_TYPE:
	case MDEV_ERROR_PARAMS_NOT_SUPPORTED:
	case MDEV_ERROR_GROUP_NOT_SUPPORTED:
	case MDEV_ERROR_NO_ATTRIBUTE:
		return VIR_ERR_CONFIG_UNSUPPORTED;
	case MDEV_ERROR_EXISTS:
	case MDEV_ERROR_WRONG_STATE:
	case MDEV_ERROR_AMBIGUOUS:
		return VIR_ERR_OPERATION_INVALID;
	case MDEV_ERROR_IN_USE:
		return VIR_ERR_RESOURCE_BUSY;
	case MDEV_ERROR_NOT_SUPPORTED:
	case MDEV_ERROR_NO_DATA:
		return VIR_ERR_OPERATION_UNSUPPORTED;
	case MDEV_ERROR_ACCESS_DENIED:
	case MDEV_ERROR_NOT_OWNER:
		return VIR_ERR_OPERATION_DENIED;
	case MDEV_ERROR_TIMEOUT:
		return VIR_ERR_OPERATION_TIMEOUT;
	case MDEV_ERROR_KERNEL:
		return VIR_ERR_SYSTEM_ERROR;
	case MDEV_ERROR_NO_INSTANCES:
	case MDEV_ERROR_NOT_READY:
	case MDEV_ERROR_STORE:
	case MDEV_ERROR_CALLOUT:
		return VIR_ERR_OPERATION_FAILED;
	default:
		return VIR_ERR_INTERNAL_ERROR;
	}
}

void raise_error(int code, const char *function, size_t line, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	lv.report_error(VIR_FROM_NODEDEV, code, "libmdev", function, line, "%s", text ? text : "out of memory");
	free(text);
}

void raise_mdev(const char *function, size_t line)
{
	const struct mdev_error *err = mdev->last_error();
	const char *message = mdev->error_get_message(err);

	lv.report_error(VIR_FROM_NODEDEV, libvirt_code(mdev->error_get_code(err)), "libmdev", function, line, "%s",
			message ? message : "libmdev failed without a message");
}
