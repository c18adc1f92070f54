// SPDX-License-Identifier: LGPL-2.1-or-later
//! mdevctl's call-outs: programs of the vendor or the administrator that are asked before a device is started, stopped,
//! defined, undefined or modified, and told after. What works with mdevctl works here: s390-tools check with one that no
//! AP queue is given to two matrices.
//!
//! For one action on one device, in this order:
//!
//! 1. `get capabilities` finds the script that speaks the newer protocol for this type and parent, if one does. It alone is
//!    asked from then on, and what it does not support ends the action.
//! 2. `pre`, with the device's configuration on standard input. Otherwise the first script that does not answer 2 ("not my
//!    type") decides. Whatever it answers but 0 ends the action before it has begun.
//! 3. The action itself.
//! 4. `post` with the outcome, and `notify` to every notifier, also after a `pre` that failed. Their answers do not matter.
//!
//! A file that the kernel does not take for a program is passed over. One that cannot be asked for any other reason, for want of
//! memory or descriptors, might have refused: so the action ends there, too.
//!
//! Nothing is run for a list, and where there are no scripts, looking for them once for each action is all that this costs.
//!
//! A script gets `/` as its directory, a process group of its own and 30 seconds; then, or when the calling process has ended,
//! the group is killed. Its environment is a PATH, as when udev runs mdevctl, and MDEV_CALLOUT, its own path. It is run without
//! a shell. Where another user than root and the caller may change a script or its folder, the action ends: the script might
//! have refused. The file that was checked is run by its descriptor, also if its path leads to another file by then. So `$0` of
//! a `#!` script is `/dev/fd/3`, and descriptor 3 is open beside the first three.
//!
//! All scripts of an action have the same parent process, which lives until the action is over.

mod process;
mod running;
mod scripts;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use once_cell::unsync::OnceCell;
use rustix::io::Errno;
use serde::Deserialize;
use uuid::Uuid;

use crate::error::{Error, ErrorCode, Result, describe, shown};
use process::{End, Fault, Outcome};
use running::Keeper;
use scripts::Script;

/// A script that has said nothing for this long hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What we are, for a script that asks.
const PROVIDES: &str = r#"{"provides":{"version":2,"actions":["start","stop","define","undefine","modify","capabilities"],"events":["pre","post","notify","get"]}}"#;

/// A script's answer for "not my type".
const NOT_MINE: i32 = 2;

/// What is done to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Start,
    /// It is destroyed.
    Stop,
    /// It is defined.
    Define,
    /// Its definition is forgotten.
    Undefine,
    /// Its definition, or the running device, is changed.
    Modify,
    /// A script is asked for what it can.
    Capabilities,
}

/// When a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Pre,
    Post,
    Notify,
    Get,
}

/// How the action went, as far as it has.
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

/// The device that scripts are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Id of its type.
    pub type_id: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Sysfs name of its parent.
    pub parent: String,
    /// mdevctl's JSON for it, on one line.
    pub config: String,
}

/// Where a host has its scripts.
#[derive(Debug, Clone)]
pub struct Callouts {
    /// Folders named `scripts.d`, in the order in which they are asked.
    folders: Vec<PathBuf>,
    limit: Duration,
}

impl Callouts {
    /// Those of the host below `root`.
    pub fn below(root: &str) -> Self {
        let root = root.trim_end_matches('/');
        let folders = ["usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d"];
        Callouts { folders: folders.map(|folder| format!("{root}/{folder}").into()).into(), limit: LIMIT }
    }

    /// Those of a simulated host, or of a caller who wants none.
    pub fn none() -> Self {
        Callouts { folders: Vec::new(), limit: LIMIT }
    }

    /// The scripts that are there now. `None` where there are none, and nobody needs to be told of anything. Fails when it
    /// cannot be told whether there are any.
    pub fn find(&self) -> Result<Option<Scripts>> {
        let [callouts, notifiers] = scripts::of(&self.folders, ["callouts", "notifiers"])?;
        let found =
            Scripts { callouts, notifiers, limit: self.limit, keeper: RefCell::default(), versioned: OnceCell::new() };
        Ok((!found.callouts.is_empty() || !found.notifiers.is_empty()).then_some(found))
    }
}

/// The scripts of a host, for one action on one device or several.
#[derive(Debug)]
pub struct Scripts {
    callouts: Vec<Script>,
    notifiers: Vec<Script>,
    limit: Duration,
    /// The parent process of all scripts, started for the first one.
    keeper: RefCell<Option<Keeper>>,
    /// The script of the newer protocol; `None` if there is none.
    versioned: OnceCell<Option<Versioned>>,
}

impl Scripts {
    /// Asks the scripts whether the action may be. Whatever came of it must be told with [`Approval::post`].
    pub fn ask<'a>(&'a self, action: Action, subject: &'a Subject) -> Result<Approval<'a>> {
        let asked = Approval { scripts: self, action, subject, chosen: OnceCell::new() };
        match asked.call(Event::Pre, action, State::None, &subject.config) {
            Ok(()) => Ok(asked),
            Err(e) => {
                asked.notify(State::None);
                Err(e)
            }
        }
    }

    /// The action between its call-outs.
    pub fn around<T>(&self, action: Action, subject: &Subject, command: impl FnOnce() -> Result<T>) -> Result<T> {
        let asked = self.ask(action, subject)?;
        let result = command();
        asked.post(result.is_ok());
        result
    }
}

/// What a script of the newer protocol says of itself: all of it, or it does not speak it. Words of a still newer one are no
/// fault.
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
    /// Its place in [`Scripts::callouts`].
    index: usize,
    supports: Supports,
}

impl Versioned {
    fn supports(&self, event: Event, action: Action) -> bool {
        let has = |list: &[String], word: String| list.contains(&word);
        has(&self.supports.actions, action.to_string()) && has(&self.supports.events, event.to_string())
    }
}

/// An action that the scripts let pass.
#[derive(Debug)]
#[must_use = "the scripts wait to be told what came of it"]
pub struct Approval<'a> {
    scripts: &'a Scripts,
    action: Action,
    subject: &'a Subject,
    /// The script that has answered `pre`, and so answers for the rest.
    chosen: OnceCell<&'a Script>,
}

impl<'a> Approval<'a> {
    /// Tells the scripts what came of the action.
    pub fn post(self, success: bool) {
        let state = if success { State::Success } else { State::Failure };
        // mdevctl heeds no answer here either.
        if let Err(e) = self.call(Event::Post, self.action, state, &self.subject.config) {
            log::warn!("{e}");
        }
        self.notify(state);
    }

    fn versioned(&self) -> Result<Option<&Versioned>> {
        self.scripts.versioned.get_or_try_init(|| self.find_versioned()).map(Option::as_ref)
    }

    fn find_versioned(&self) -> Result<Option<Versioned>> {
        for (index, script) in self.scripts.callouts.iter().enumerate() {
            let answer = self.run(script, Event::Get, Action::Capabilities, State::None, PROVIDES)?;
            let Some(answer) = answer.filter(Outcome::is_answer) else { continue };
            if let Ok(Capabilities { supports }) = serde_json::from_str(answer.out.trim_end_matches('\0')) {
                return Ok(Some(Versioned { index, supports }));
            }
        }
        Ok(None)
    }

    /// Fails when the script that is responsible, if one is, says no.
    fn call(&self, event: Event, action: Action, state: State, input: &str) -> Result<()> {
        if self.scripts.callouts.is_empty() {
            return Ok(());
        }
        if let Some(script) = self.versioned()? {
            return self.call_versioned(script, event, action, state, input);
        }
        let chosen = self.chosen.get().copied();
        let others = if chosen.is_some() { &[] } else { &self.scripts.callouts[..] };
        for script in chosen.into_iter().chain(others) {
            let Some(answer) = self.run(script, event, action, state, input)? else { continue };
            match answer.end {
                End::Code(NOT_MINE) => {}
                // mdevctl asks the next one, too.
                End::Signal(_) => log::warn!("{}: {}", script.path.display(), answer.end),
                _ => {
                    let _ = self.chosen.set(script);
                    return check_exit(script, &answer);
                }
            }
        }
        Ok(())
    }

    /// As mdevctl has it: what the one script that is responsible cannot is not done.
    fn call_versioned(
        &self,
        versioned: &Versioned,
        event: Event,
        action: Action,
        state: State,
        input: &str,
    ) -> Result<()> {
        // The list of scripts does not change after the search.
        let Some(script) = self.scripts.callouts.get(versioned.index) else { return Ok(()) };
        if !versioned.supports(event, action) {
            // After the action, nobody is asked.
            return match event {
                Event::Pre => Err(refused(script, &format!("it does not support {event} {action}"), Errno::CANCELED)),
                _ => Ok(()),
            };
        }
        let Some(answer) = self.run(script, event, action, state, input)? else {
            return Err(refused(script, "it is not executable any more", Errno::CANCELED));
        };
        if let End::Signal(_) = answer.end {
            log::warn!("{}: {}", script.path.display(), answer.end);
            return Ok(());
        }
        check_exit(script, &answer)
    }

    fn notify(&self, state: State) {
        for script in &self.scripts.notifiers {
            match self.run(script, Event::Notify, self.action, state, "") {
                Ok(Some(answer)) if answer.end != End::Code(0) => {
                    log::warn!("{}: {}", script.path.display(), answer.end);
                }
                Ok(_) => {}
                Err(e) => log::warn!("{e}"),
            }
        }
    }

    /// `None`: it is no program, which is no answer.
    fn run(&self, script: &Script, event: Event, action: Action, state: State, input: &str) -> Result<Option<Outcome>> {
        let Subject { type_id, uuid, parent, .. } = self.subject;
        let words = [event.to_string(), action.to_string(), state.to_string(), uuid.to_string()];
        let [event, action, state, uuid] = &words;
        let args: [&str; 12] = ["-t", type_id, "-e", event, "-a", action, "-s", state, "-u", uuid, "-p", parent];
        log::debug!("{}: {event} {action} for {uuid}", script.path.display());
        let mut keeper = self.scripts.keeper.borrow_mut();
        match process::run(script, &mut keeper, &args, input.as_bytes(), self.scripts.limit) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(Fault::NoProgram(errno)) => {
                log::warn!("{}: left out, it cannot be run: {}", script.path.display(), describe(errno));
                Ok(None)
            }
            Err(Fault::NoDescriptors(errno)) => {
                Err(not_run(script, &format!("/dev/fd: {}; mount /proc", describe(errno)), errno))
            }
            Err(Fault::Other(errno)) => Err(not_run(script, &describe(errno), errno)),
        }
    }
}

/// Anything but success is an error that has what the script said.
fn check_exit(script: &Script, answer: &Outcome) -> Result<()> {
    let errno = match answer.end {
        End::Code(0) => return Ok(()),
        End::Timeout(_) => Errno::TIMEDOUT,
        _ => Errno::CANCELED,
    };
    let said = answer.err.trim();
    let said = if said.is_empty() { answer.out.trim() } else { said };
    let said = if said.is_empty() { "no output".to_owned() } else { format!("output: {}", quoted(said)) };
    Err(refused(script, &format!("{}, {said}", answer.end), errno))
}

/// The output of a script on one line.
fn quoted(text: &str) -> String {
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
