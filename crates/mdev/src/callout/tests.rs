// SPDX-License-Identifier: LGPL-2.1-or-later
//! Scripts below a temporary root directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use std::time::Instant;

use super::*;
use crate::testing::scripts::install_script;
use crate::testing::skip::skip;

/// A program cannot be run while it is open for writing, and a child has the open files of its parent until it calls execve. So no
/// test writes a script while another test starts one.
static ALONE: Mutex<()> = Mutex::new(());

struct TestHost {
    _alone: MutexGuard<'static, ()>,
    root: tempfile::TempDir,
    callouts: Callouts,
    subject: Subject,
}

const CONFIG: &str = r#"{"mdev_type":"vfio_ap-passthrough","start":"manual","attrs":[{"assign_adapter":"5"}]}"#;
const UUID: &str = "11111111-2222-4333-8444-555555555555";

fn host() -> TestHost {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = tempfile::tempdir().unwrap();
    for folder in ["usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d"] {
        for subfolder in ["callouts", "notifiers"] {
            fs::create_dir_all(root.path().join(folder).join(subfolder)).unwrap();
        }
    }
    let callouts = Callouts::below(root.path().to_str().unwrap());
    let subject = Subject {
        type_id: "vfio_ap-passthrough".into(),
        uuid: UUID.parse().unwrap(),
        parent: "matrix".into(),
        config: CONFIG.into(),
    };
    TestHost { _alone: alone, root, callouts, subject }
}

impl TestHost {
    fn log(&self) -> PathBuf {
        self.root.path().join("log")
    }

    /// Writes a script that logs its call and continues with `body`.
    fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.root.path().join(name);
        let log = self.log();
        let base = name.rsplit('/').next().unwrap();
        let text = format!(
            "event=$4 action=$6 state=$8\nprintf '%s %s' {base} \"$*\" >>'{log}'\n\
             printf ' <%s>\\n' \"$(cat)\" >>'{log}'\n{body}\n",
            log = log.display()
        );
        install_script(&path, &text);
        path
    }

    /// `name event action state <input>` of each call so far, without the constant arguments.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let _ = fs::remove_file(self.log());
        let lines = text.lines().filter(|line| !line.contains("-a capabilities "));
        lines
            .map(|line| {
                assert!(line.contains(&format!(" -u {UUID} -p matrix <")), "{line}");
                let line =
                    line.replace(" -t vfio_ap-passthrough -e ", " ").replace(&format!(" -u {UUID} -p matrix"), "");
                line.replace(" -a ", " ").replace(" -s ", " ").replace(CONFIG, "config")
            })
            .collect()
    }

    fn around(&self, works: bool) -> Result<&'static str> {
        let fault = || Error::new(ErrorCode::Kernel, Errno::IO, "the command itself");
        self.callouts
            .find()?
            .unwrap()
            .around(Action::Start, &self.subject, || if works { Ok("done") } else { Err(fault()) })
    }
}

const NOT_MY_TYPE: &str = "exit 2";
const PLAIN: &str = "[ $action = capabilities ] && exit 2; exit 0";

#[test]
fn action_runs_its_scripts_in_order_with_their_arguments() {
    let host = host();
    host.script("etc/mdevctl.d/scripts.d/callouts/b-mine", PLAIN);
    host.script("etc/mdevctl.d/scripts.d/callouts/a-other", NOT_MY_TYPE);
    host.script("etc/mdevctl.d/scripts.d/callouts/c-never", PLAIN);
    host.script("usr/lib/mdevctl/scripts.d/callouts/z-vendor", NOT_MY_TYPE);
    host.script("etc/mdevctl.d/scripts.d/notifiers/n", "exit 7");
    host.script("usr/lib/mdevctl/scripts.d/notifiers/m", "");
    assert_eq!(host.around(true), Ok("done"));
    let expected = [
        "z-vendor pre start none <config>",
        "a-other pre start none <config>",
        "b-mine pre start none <config>",
        "b-mine post start success <config>",
        "m notify start success <>",
        "n notify start success <>",
    ];
    assert_eq!(host.calls(), expected);
    assert_eq!(host.around(false).unwrap_err().message, "the command itself");
    let failed: Vec<String> = expected.iter().map(|line| line.replace("success", "failure")).collect();
    assert_eq!(host.calls(), failed);
}

#[test]
fn refused_action_is_not_run() {
    let host = host();
    let script = host.script(
        "etc/mdevctl.d/scripts.d/callouts/ap",
        "[ $action = capabilities ] && exit 2\necho 'queue 5.1 is taken' >&2; [ $event = pre ] && exit 1; exit 0",
    );
    host.script("etc/mdevctl.d/scripts.d/notifiers/n", "");
    let e = host
        .callouts
        .find()
        .unwrap()
        .unwrap()
        .around(Action::Define, &host.subject, || -> Result<()> { panic!("the refused action was run") });
    let e = e.unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Callout, Errno::CANCELED.raw_os_error()));
    assert!(e.message.contains("queue 5.1 is taken") && e.message.contains("status 1"), "{e}");
    assert_eq!(e.path.as_deref(), script.to_str());
    assert_eq!(host.calls(), ["ap pre define none <config>", "n notify define none <>"]);
}

/// The body of a script of the newer protocol.
fn newer(actions: &str, events: &str, body: &str) -> String {
    let supports = format!(r#"{{"supports":{{"version":3,"actions":[{actions}],"events":[{events}]}}}}"#);
    format!("[ $action = capabilities ] && {{ printf '%s\\0' '{supports}'; exit 0; }}\n{body}")
}

#[test]
fn script_of_the_newer_protocol_runs_only_for_its_capabilities() {
    let host = host();
    let new = "etc/mdevctl.d/scripts.d/callouts/new";
    host.script("usr/lib/mdevctl/scripts.d/callouts/a-old", PLAIN);
    host.script(new, &newer(r#""start","modify","dance""#, r#""pre","live","get""#, "exit 0"));
    assert_eq!(host.around(true), Ok("done"));
    assert_eq!(host.calls(), ["new pre start none <config>"], "the script does not support post");
    for (actions, events) in [(r#""start""#, r#""post""#), (r#""stop""#, r#""pre","post""#)] {
        let path = host.script(new, &newer(actions, events, "exit 0"));
        let e = host.around(true).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Callout, Errno::CANCELED.raw_os_error()), "{e}");
        assert!(e.message.contains("does not support pre start") && e.path.as_deref() == path.to_str(), "{e}");
        assert!(host.calls().is_empty(), "{actions}");
    }
    // Every exit status of this script decides, also 2, which means "not my type" in the older protocol. A signal does not decide,
    // as in the older protocol.
    for (body, passes) in [("exit 2", false), ("exit 1", false), ("kill -9 $$", true)] {
        host.script(new, &newer(r#""start""#, r#""pre""#, body));
        assert_eq!(host.around(true).is_ok(), passes, "{body}");
        host.calls();
    }
    // The script is executable when it is found, and not when it is run.
    let script = host.script(new, "");
    let chmod =
        newer(r#""start""#, r#""pre""#, "").replace("exit 0", &format!("chmod -x {}; exit 0", script.display()));
    host.script(new, &chmod);
    assert_eq!(host.around(true).unwrap_err().code, ErrorCode::Callout);
}

#[test]
fn script_with_an_incomplete_answer_runs_by_the_older_protocol() {
    let host = host();
    for text in ["{}", r#"{"supports":null}"#, r#"{"supports":{"version":2,"actions":["start"]}}"#, "[1"] {
        let body = format!("[ $action = capabilities ] && {{ echo '{text}'; exit 0; }}; exit 0");
        host.script("etc/mdevctl.d/scripts.d/callouts/odd", &body);
        assert_eq!(host.around(true), Ok("done"), "{text}");
        assert_eq!(host.calls(), ["odd pre start none <config>", "odd post start success <config>"], "{text}");
    }
}

/// The action fails if it is unknown whether a script exists or whether it refuses.
#[test]
fn script_that_cannot_be_run_fails_the_action() {
    let mut host = host();
    let refused = |host: &TestHost, errno: Errno, what: &str| {
        let e = host.around(true).unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::Callout, errno.raw_os_error()), "{what}: {e}");
    };
    // Links to themselves exist, and no user can open them.
    for place in ["etc/mdevctl.d/scripts.d/notifiers", "etc/mdevctl.d/scripts.d/callouts", "etc/mdevctl.d/scripts.d"] {
        let path = host.root.path().join(place);
        fs::remove_dir(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        refused(&host, Errno::LOOP, place);
        fs::remove_file(&path).unwrap();
    }
    host.script("usr/lib/mdevctl/scripts.d/callouts/s", PLAIN);
    assert_eq!(host.around(true), Ok("done"));
    // No argument can contain a NUL: the call fails before the script starts.
    host.subject.parent = "ma\0trix".into();
    refused(&host, Errno::INVAL, "before the start");
    host.subject.parent = "matrix".into();
    // The kernel does not execute a file that is open for writing.
    let path = host.root.path().join("usr/lib/mdevctl/scripts.d/callouts/s");
    let open = fs::OpenOptions::new().append(true).open(path).unwrap();
    refused(&host, Errno::TXTBSY, "while it is written");
    drop(open);
    assert_eq!(host.around(true), Ok("done"));
}

#[test]
fn run_error_of_an_errno_that_is_not_about_the_file_is_other() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::IO, Errno::INVAL, Errno::PERM] {
        assert_eq!(RunError::of_exec(errno), RunError::Other(errno));
        assert_eq!(RunError::from(errno), RunError::Other(errno));
    }
    // From another system call of this library, the same errno is not about the file.
    assert_eq!(RunError::from(Errno::ACCESS), RunError::Other(Errno::ACCESS));
    assert_eq!(RunError::of_exec(Errno::ACCESS), RunError::NotExecutable(Errno::ACCESS));
}

#[test]
fn file_that_is_not_a_script_is_skipped() {
    let host = host();
    let script = |name: &str, body: &str| host.script(&format!("etc/mdevctl.d/scripts.d/callouts/{name}"), body);
    let mode = |path: &PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&script("a-no-program", PLAIN), 0o644);
    fs::write(script("c-no-interpreter", PLAIN), "#!/does/not/exist\n").unwrap();
    fs::create_dir(host.root.path().join("etc/mdevctl.d/scripts.d/callouts/d-folder")).unwrap();
    script("e-killed", "kill -9 $$");
    std::os::unix::fs::symlink("nowhere", host.root.path().join("etc/mdevctl.d/scripts.d/callouts/f-dangling"))
        .unwrap();
    let own = host.root.path().join("own");
    fs::rename(script("h", PLAIN), &own).unwrap();
    std::os::unix::fs::symlink(&own, host.root.path().join("etc/mdevctl.d/scripts.d/callouts/h-linked")).unwrap();
    assert_eq!(host.around(true), Ok("done"));
    assert_eq!(
        host.calls(),
        ["e-killed pre start none <config>", "h pre start none <config>", "h post start success <config>"]
    );
}

/// The script might refuse, so it must not be skipped.
#[test]
fn script_or_folder_that_another_user_may_change_fails_the_action() {
    // Only root can give a file to another user or group.
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("only root can give a file to another user or group");
    }
    for place in ["etc/mdevctl.d/scripts.d", "etc/mdevctl.d/scripts.d/callouts", "etc/mdevctl.d/scripts.d/callouts/a"] {
        let host = host();
        let path = host.root.path().join(place);
        host.script("etc/mdevctl.d/scripts.d/callouts/a", PLAIN);
        let set = |mode, user, group| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            if is_root {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            }
        };
        let cases = [
            (0o757, 0, 0, "every user may write it (chmod o-w)"),
            (0o775, 0, 12345, "the members of group 12345 may write it (chmod g-w)"),
            (0o755, 12345, 0, "it belongs to user 12345 and not to root or to the caller (chown root)"),
        ];
        for (mode, user, group, why) in cases.into_iter().filter(|(_, user, group, _)| is_root || user + group == 0) {
            set(mode, user, group);
            let e = host.around(true).unwrap_err();
            assert_eq!((e.code, e.errno), (ErrorCode::Callout, Errno::CANCELED.raw_os_error()), "{place}: {e}");
            assert!(e.message.contains(&format!("{}, so nothing was done: {why}", path.display())), "{place}: {e}");
            assert_eq!(e.path.as_deref(), path.to_str());
        }
        assert!(host.calls().is_empty(), "{place}");
        for mode in [0o775, 0o755] {
            set(mode, 0, 0);
            assert_eq!(host.around(true), Ok("done"), "{place}");
        }
    }
}

#[test]
fn script_that_hangs_is_killed_with_its_children_and_long_output_is_cut() {
    let mut host = host();
    host.callouts.limit = Duration::from_millis(300);
    let pids = host.root.path().join("pids");
    host.script(
        "etc/mdevctl.d/scripts.d/callouts/hangs",
        &format!("[ $action = capabilities ] && exit 2\nsleep 1000 & echo $! >'{}'; wait", pids.display()),
    );
    let e = host.around(true).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::Callout, Errno::TIMEDOUT.raw_os_error()), "{e}");
    let pid: i32 = fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
    let is_gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // A zombie: its new parent has not read its status yet.
        Ok(stat) => stat.contains(") Z"),
        Err(_) => true,
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_gone() {
        assert!(Instant::now() < deadline, "process {pid} still runs");
        std::thread::yield_now();
    }
    host.script("etc/mdevctl.d/scripts.d/callouts/hangs", "[ $action = capabilities ] && exit 2; exec yes");
    assert!(host.around(true).unwrap_err().message.len() < 4096);
    host.script(
        "etc/mdevctl.d/scripts.d/callouts/hangs",
        "[ $action = capabilities ] && exit 2; sleep 1000 & echo $! >>\"$(dirname $MDEV_CALLOUT)/../left\"; exit 0",
    );
    // A child that the script leaves behind does not delay the action, although it holds the pipes.
    assert_eq!(host.around(true), Ok("done"));
    let left = fs::read_to_string(host.root.path().join("etc/mdevctl.d/scripts.d/left")).unwrap();
    for pid in left.lines() {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn environment_of_a_script_has_path_and_its_own_name() {
    let host = host();
    let seen = host.root.path().join("seen");
    host.script(
        "etc/mdevctl.d/scripts.d/callouts/reads",
        &format!(
            "[ $action = capabilities ] && exit 2\n[ $event = pre ] || exit 0\n\
             {{ tr '\\0' '\\n' </proc/$$/environ; readlink /proc/$$/cwd; }} >'{}'",
            seen.display()
        ),
    );
    assert_eq!(host.around(true), Ok("done"));
    let text = fs::read_to_string(&seen).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    let own = format!("MDEV_CALLOUT={}", host.root.path().join("etc/mdevctl.d/scripts.d/callouts/reads").display());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&own.as_str()) && lines[2] == "/", "{text}");
    assert!(lines.iter().any(|line| line.starts_with("PATH=/usr/local/sbin:")), "{text}");
}

#[test]
fn action_without_scripts_runs_no_process() {
    let root = tempfile::tempdir().unwrap();
    // Debian's mdevctl installs empty folders.
    let empty = host();
    for callouts in [&Callouts::below(root.path().to_str().unwrap()), &Callouts::none(), &empty.callouts] {
        assert!(callouts.find().unwrap().is_none());
    }
    fs::write(empty.root.path().join("etc/mdevctl.d/scripts.d/callouts/README"), "no program").unwrap();
    assert!(empty.callouts.find().unwrap().is_none());
    empty.script("etc/mdevctl.d/scripts.d/notifiers/n", "");
    assert!(empty.callouts.find().unwrap().is_some());
}
