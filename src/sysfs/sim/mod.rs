// SPDX-License-Identifier: LGPL-2.1-or-later
//! A small kernel in memory.
