// SPDX-License-Identifier: LGPL-2.1-or-later
//! The support files of the integration tests that unit tests use too.

#[path = "../../../tests/it/support/absence.rs"]
pub mod absence;
#[path = "../../../tests/it/support/scripts.rs"]
pub mod scripts;
#[path = "../../../tests/it/support/skip.rs"]
pub mod skip;
