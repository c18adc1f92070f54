// SPDX-License-Identifier: LGPL-2.1-or-later
//! mdevctl's call-outs: programs of the vendor or the administrator. They run before a device is started, stopped, defined,
//! undefined or modified, and may refuse the action; afterwards they get its outcome. Call-outs for mdevctl work unchanged: for
//! example, s390-tools use one to check that no AP queue is assigned to two matrices.
//!
//! For one action on one device, in this order:
//!
//! 1. `get capabilities` finds the script that supports the newer protocol for this type and parent. If there is such a script,
//!    only this script is run from then on, and an action that it does not support fails.
//! 2. `pre`, with the device's configuration on standard input. Without a script of the newer protocol, the first script whose
//!    exit status is not 2 ("not my type") decides. Any exit status except 0 fails the action before it starts.
//! 3. The action itself.
//! 4. `post` with the outcome, then `notify` for every notifier. After a failed `pre`, only `notify`. Their exit statuses have no
//!    effect.
//!
//! A file that the kernel cannot execute as a program is skipped. If a script cannot run for any other reason, such as a lack of
//! memory or descriptors, the action fails, since the script might have refused.
//!
//! A list runs no scripts. On a host without scripts, each action only searches for scripts.
//!
//! A script runs in the directory `/`, in its own process group, for at most 30 seconds. After that time, or when the calling
//! process ends, the group is killed. The environment contains PATH, with the value that udev sets for mdevctl, and MDEV_CALLOUT,
//! the path of the script. No shell is involved. If a user other than root and the caller may change a script or its folder, the
//! action fails, since the script might have refused. The checked file is run by its descriptor, also if its path leads to another
//! file by then. So `$0` of a `#!` script is `/dev/fd/3`, and descriptor 3 is open in addition to the standard streams.
//!
//! All scripts of an action have the same parent process, which lives until the action ends.

mod process;
mod running;
mod scripts;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use once_cell::unsync::OnceCell;
use rustix::io::Errno;
use serde::Deserialize;
use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result, describe, shown};
use process::{End, Outcome, RunError};
use running::Keeper;
use scripts::Script;

/// A script that runs for longer than this is killed.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The protocol that this library supports: the input of `get capabilities`.
const PROVIDES: &str = r#"{"provides":{"version":2,"actions":["start","stop","define","undefine","modify","capabilities"],"events":["pre","post","notify","get"]}}"#;

/// The exit status of a script for "not my type".
const NOT_MY_TYPE: i32 = 2;

/// An action on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The device is created.
    Start,
    /// The device is destroyed.
    Stop,
    /// The device is defined.
    Define,
    /// The definition is removed.
    Undefine,
    /// The definition or the running device is changed.
    Modify,
    /// A query of the capabilities of a script.
    Capabilities,
}

/// The time at which a script is run, relative to the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Pre,
    Post,
    Notify,
    Get,
}

/// The outcome of the action; `None` before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    None,
    Success,
    Failure,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Define => "define",
            Action::Undefine => "undefine",
            Action::Modify => "modify",
            Action::Capabilities => "capabilities",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::Pre => "pre",
            Event::Post => "post",
            Event::Notify => "notify",
            Event::Get => "get",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::None => "none",
            State::Success => "success",
            State::Failure => "failure",
        })
    }
}

/// The device of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The id of its type.
    pub type_id: String,
    /// The UUID.
    pub uuid: Uuid,
    /// The sysfs name of its parent.
    pub parent: String,
    /// The configuration in mdevctl's JSON, on one line.
    pub config: String,
}

/// The folders of a host's scripts.
#[derive(Debug, Clone)]
pub struct Callouts {
    /// Folders named `scripts.d`, in the order in which their scripts run.
    folders: Vec<PathBuf>,
    limit: Duration,
}

impl Callouts {
    /// The folders of the host below `root`.
    pub fn below(root: &str) -> Self {
        let root = root.trim_end_matches('/');
        let folders = ["usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d"];
        Callouts { folders: folders.map(|folder| format!("{root}/{folder}").into()).into(), limit: TIME_LIMIT }
    }

    /// No folders: for a simulated host, and for a caller that sets NO_CALLOUTS.
    pub fn none() -> Self {
        Callouts { folders: Vec::new(), limit: TIME_LIMIT }
    }

    /// Finds the scripts that exist now; `None` if there are none. Fails if it cannot be determined whether there are scripts.
    pub fn find(&self) -> Result<Option<Scripts>> {
        let [callouts, notifiers] = scripts::find(&self.folders, ["callouts", "notifiers"])?;
        let found = Scripts {
            callouts,
            notifiers,
            limit: self.limit,
            keeper: RefCell::default(),
            versioned: RefCell::default(),
        };
        Ok((!found.callouts.is_empty() || !found.notifiers.is_empty()).then_some(found))
    }
}

/// The id of a type and the sysfs name of a parent.
type TypeAndParent = (String, String);

/// The scripts of a host, for one action on one device or several.
#[derive(Debug)]
pub struct Scripts {
    callouts: Vec<Script>,
    notifiers: Vec<Script>,
    limit: Duration,
    /// The parent process of all scripts, started for the first one.
    keeper: RefCell<Option<Keeper>>,
    /// For each type and parent, the script of the newer protocol; `None` if no script supports it.
    versioned: RefCell<HashMap<TypeAndParent, Option<Rc<Versioned>>>>,
}

impl Scripts {
    /// Runs `pre`. Fails if a script refuses the action or cannot be run. After the action, the caller must report its outcome with
    /// [`Approval::post`].
    pub fn pre<'a>(&'a self, action: Action, subject: &'a Subject) -> Result<Approval<'a>> {
        let approval = Approval { scripts: self, action, subject, chosen: OnceCell::new() };
        match approval.call(Event::Pre, action, State::None, &subject.config) {
            Ok(()) => Ok(approval),
            Err(e) => {
                approval.notify(State::None);
                Err(e)
            }
        }
    }

    /// Runs `pre`, the action and `post`. Returns the result of the action. Fails without the action if `pre` fails.
    pub fn around<T>(&self, action: Action, subject: &Subject, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let approval = self.pre(action, subject)?;
        let result = run();
        approval.post(result.is_ok());
        result
    }
}

/// The capabilities of a script of the newer protocol. A script that omits a member does not support that protocol. Unknown words
/// are ignored, since a later protocol may add some.
#[derive(Debug, Clone, Deserialize)]
struct Supports {
    #[serde(rename = "version")]
    _version: u32,
    actions: Vec<String>,
    events: Vec<String>,
}

#[derive(Deserialize)]
struct Capabilities {
    supports: Supports,
}

#[derive(Debug)]
struct Versioned {
    /// The index of the script in [`Scripts::callouts`].
    index: usize,
    supports: Supports,
}

impl Versioned {
    fn supports(&self, event: Event, action: Action) -> bool {
        let has = |list: &[String], word: String| list.contains(&word);
        has(&self.supports.actions, action.to_string()) && has(&self.supports.events, event.to_string())
    }
}

/// An action that no script has refused.
#[derive(Debug)]
#[must_use = "report the outcome with `post`"]
pub struct Approval<'a> {
    scripts: &'a Scripts,
    action: Action,
    subject: &'a Subject,
    /// The script that decided in `pre`. It also gets `post`.
    chosen: OnceCell<&'a Script>,
}

impl<'a> Approval<'a> {
    /// Reports the outcome of the action to the scripts.
    pub fn post(self, success: bool) {
        let state = if success { State::Success } else { State::Failure };
        // As in mdevctl, the exit status has no effect.
        if let Err(e) = self.call(Event::Post, self.action, state, &self.subject.config) {
            log::warn!("{e}");
        }
        self.notify(state);
    }

    fn versioned(&self) -> Result<Option<Rc<Versioned>>> {
        let key = (self.subject.type_id.clone(), self.subject.parent.clone());
        if let Some(cached) = self.scripts.versioned.borrow().get(&key) {
            return Ok(cached.clone());
        }
        let found = self.find_versioned()?.map(Rc::new);
        self.scripts.versioned.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    fn find_versioned(&self) -> Result<Option<Versioned>> {
        for (index, script) in self.scripts.callouts.iter().enumerate() {
            let outcome = self.run(script, Event::Get, Action::Capabilities, State::None, PROVIDES)?;
            let Some(outcome) = outcome.filter(Outcome::accepts_type) else { continue };
            if let Ok(Capabilities { supports }) = serde_json::from_str(outcome.out.trim_end_matches('\0')) {
                return Ok(Some(Versioned { index, supports }));
            }
        }
        Ok(None)
    }

    /// Runs the script that is responsible for the type. Fails if it refuses or cannot be run. Succeeds if no script is responsible.
    fn call(&self, event: Event, action: Action, state: State, input: &str) -> Result<()> {
        if self.scripts.callouts.is_empty() {
            return Ok(());
        }
        if let Some(script) = self.versioned()? {
            return self.call_versioned(&script, event, action, state, input);
        }
        let chosen = self.chosen.get().copied();
        let others = if chosen.is_some() { &[] } else { &self.scripts.callouts[..] };
        for script in chosen.into_iter().chain(others) {
            let Some(outcome) = self.run(script, event, action, state, input)? else { continue };
            match outcome.end {
                End::Code(NOT_MY_TYPE) => {}
                // As in mdevctl, the next script runs.
                End::Signal(_) => log::warn!("{}: {}", script.path.display(), outcome.end),
                _ => {
                    let _ = self.chosen.set(script);
                    return check_exit(script, &outcome);
                }
            }
        }
        Ok(())
    }

    /// As in mdevctl, an action fails if the responsible script does not support it.
    fn call_versioned(
        &self,
        versioned: &Versioned,
        event: Event,
        action: Action,
        state: State,
        input: &str,
    ) -> Result<()> {
        // Always present: the list of scripts does not change after the search.
        let Some(script) = self.scripts.callouts.get(versioned.index) else { return Ok(()) };
        if !versioned.supports(event, action) {
            // After the action, a script has no effect.
            return match event {
                Event::Pre => {
                    Err(refused(script, &format!("the script does not support {event} {action}"), Errno::CANCELED))
                }
                _ => Ok(()),
            };
        }
        let Some(outcome) = self.run(script, event, action, state, input)? else {
            return Err(refused(script, "the script is not executable any more", Errno::CANCELED));
        };
        if let End::Signal(_) = outcome.end {
            log::warn!("{}: {}", script.path.display(), outcome.end);
            return Ok(());
        }
        check_exit(script, &outcome)
    }

    fn notify(&self, state: State) {
        for script in &self.scripts.notifiers {
            match self.run(script, Event::Notify, self.action, state, "") {
                Ok(Some(outcome)) if outcome.end != End::Code(0) => {
                    log::warn!("{}: {}", script.path.display(), outcome.end);
                }
                Ok(_) => {}
                Err(e) => log::warn!("{e}"),
            }
        }
    }

    /// Runs a script and returns its outcome; `None` if the kernel cannot execute the file as a program.
    fn run(&self, script: &Script, event: Event, action: Action, state: State, input: &str) -> Result<Option<Outcome>> {
        let Subject { type_id, uuid, parent, .. } = self.subject;
        let words = [event.to_string(), action.to_string(), state.to_string(), uuid.to_string()];
        let [event, action, state, uuid] = &words;
        let args: [&str; 12] = ["-t", type_id, "-e", event, "-a", action, "-s", state, "-u", uuid, "-p", parent];
        log::debug!("{}: {event} {action} for {uuid}", script.path.display());
        let mut keeper = self.scripts.keeper.borrow_mut();
        match process::run(script, &mut keeper, &args, input.as_bytes(), self.scripts.limit) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(RunError::NotExecutable(errno)) => {
                log::warn!("call-out {} skipped: cannot execute the file: {}", script.path.display(), describe(errno));
                Ok(None)
            }
            Err(RunError::NoDevFd(errno)) => {
                Err(not_run(script, &format!("/dev/fd: {}; mount /proc", describe(errno)), errno))
            }
            Err(RunError::Other(errno)) => Err(not_run(script, &describe(errno), errno)),
        }
    }
}

/// An exit status other than 0 is an error. Its message contains the output of the script.
fn check_exit(script: &Script, outcome: &Outcome) -> Result<()> {
    let errno = match outcome.end {
        End::Code(0) => return Ok(()),
        End::Timeout(_) => Errno::TIMEDOUT,
        _ => Errno::CANCELED,
    };
    let text = match outcome.err.trim() {
        "" => outcome.out.trim(),
        text => text,
    };
    let output = if text.is_empty() { "no output".to_owned() } else { format!("output: {}", one_line(text)) };
    Err(refused(script, &format!("{}, {output}", outcome.end), errno))
}

/// The first lines of a script's output, joined into one line.
fn one_line(text: &str) -> String {
    text.lines().map(shown).take(8).collect::<Vec<_>>().join(" / ")
}

fn refused(script: &Script, why: &str, errno: Errno) -> Error {
    let path = script.path.display().to_string();
    Error::new(ErrorCode::Callout, errno, format!("call-out {path} refused: {why}")).at(path)
}

/// The error for a script that cannot be run. The script might have refused, so the action is not done.
fn not_run(script: &Script, why: &str, errno: Errno) -> Error {
    let path = script.path.display().to_string();
    Error::new(ErrorCode::Callout, errno, format!("cannot run call-out {path}, so nothing was done: {why}")).at(path)
}
