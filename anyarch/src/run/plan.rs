//! What a run will do, decided before anything is done: from the command line, the root, and what this machine grants.
//! It can be printed (`--dry-run`), and is handed to the processes that carry it out.

use crate::run::emulator::Emulator;
use crate::run::ids::Ids;
use crate::run::kept::Kept;
use crate::run::root::{Defaults, Source};
use crate::text::Text;
use anyarch_client::error::Usage;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::slice;

/// Where programs are looked for in a root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the user that hold inside as well.
const KEPT: [&str; 3] = ["TERM", "LANG", "COLORTERM"];

/// Everything that a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The files.
    pub root: Source,
    /// What runs its programs; this machine itself, if none.
    pub emulator: Option<Emulator>,
    /// Options of the emulator.
    pub options: Vec<Text>,
    /// The command.
    pub command: Vec<Text>,
    /// All variables of the command.
    pub environment: Vec<(Text, Text)>,
    /// The folder that it begins in.
    pub workdir: Text,
    /// The user that it runs as, by name or number, with a group if one is named; root, if none.
    pub user: Option<String>,
    /// The name of the machine inside.
    pub hostname: String,
    /// The users and groups inside.
    pub ids: Ids,
    /// The network inside.
    pub network: Network,
    /// What of this machine is seen inside.
    pub binds: Vec<Bind>,
    /// Where translations are kept, if they are.
    pub translations: Option<Text>,
    /// Whether the root cannot be changed.
    pub read_only: bool,
    /// Whether changes of the root are gone afterwards.
    pub ephemeral: bool,
    /// Where changes are kept, beside the root, if they are.
    pub kept: Option<Kept>,
    /// Whether the command is process 1 itself.
    pub is_init: bool,
}

/// The network of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// This machine's.
    Host,
    /// None.
    None,
}

/// A file or folder of this machine that is seen in the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Where it is.
    pub source: Text,
    /// Where it is seen.
    pub destination: Text,
    /// Whether it cannot be changed there.
    pub read_only: bool,
}

/// What the command line asks of a run.
#[derive(Debug, Clone)]
pub struct Request {
    /// The command; the default of the root, if empty.
    pub command: Vec<OsString>,
    /// What stands before it instead of the entry point of the root; nothing, if empty.
    pub entrypoint: Option<OsString>,
    /// `SRC:DST[:ro]`
    pub binds: Vec<OsString>,
    /// `NAME=VALUE`, or `NAME` for the user's own.
    pub environment: Vec<OsString>,
    /// The folder to begin in.
    pub workdir: Option<PathBuf>,
    /// The user to run as.
    pub user: Option<String>,
    /// The name of the machine inside.
    pub hostname: Option<String>,
    /// The processor that is emulated.
    pub cpu: Option<String>,
    /// The network inside.
    pub network: Network,
    /// Whether the root cannot be changed.
    pub read_only: bool,
    /// Whether changes are gone afterwards.
    pub ephemeral: bool,
    /// Whether the command is process 1 itself.
    pub is_init: bool,
}

/// What was found out for a run.
#[derive(Debug)]
pub struct Found {
    /// The files.
    pub root: Source,
    /// What is run there if nothing is said.
    pub defaults: Defaults,
    /// The emulator, if one is needed.
    pub emulator: Option<Emulator>,
    /// The ids that there are.
    pub ids: Ids,
    /// Where translations are to be kept.
    pub translations: Option<PathBuf>,
    /// Where changes are to be kept.
    pub kept: Option<Kept>,
    /// The user's own variables.
    pub variables: Vec<(OsString, OsString)>,
}

/// Decides what a run does.
///
/// # Errors
/// [`Usage`] when what is asked for makes no sense.
pub fn plan(request: &Request, found: Found) -> Result<Plan, Usage> {
    let Found { root, defaults, emulator, ids, translations, kept, variables } = found;
    let binds = request.binds.iter().map(|word| bind(word)).collect::<Result<_, _>>()?;
    let hostname = request.hostname.clone().unwrap_or_else(|| "anyarch".to_owned());
    if hostname.is_empty() || hostname.len() > 64 {
        return Err(Usage("--hostname: a name has 1 to 64 characters".to_owned()));
    }
    let workdir = match &request.workdir {
        Some(path) if !path.is_absolute() => {
            return Err(Usage(format!("--workdir {}: pass an absolute path of the root", path.display())));
        }
        Some(path) => path.clone().into(),
        None => defaults.workdir.clone().unwrap_or_else(|| "/".into()),
    };
    let mut options: Vec<Text> = Vec::new();
    let translations = match &emulator {
        Some(found) => {
            if let Some(cpu) = &request.cpu {
                options.extend(["-cpu".into(), cpu.clone().into()]);
            }
            translations.filter(|_| found.keeps_translations).map(Text::from)
        }
        None if request.cpu.is_some() => {
            return Err(Usage("--cpu: this machine runs the root itself, without an emulator".to_owned()));
        }
        None => None,
    };
    Ok(Plan {
        root,
        emulator,
        options,
        command: command(request, &defaults)?,
        environment: environment(request, &defaults, &variables)?,
        workdir,
        user: request.user.clone().or(defaults.user),
        hostname,
        ids,
        network: request.network,
        binds,
        translations,
        read_only: request.read_only,
        ephemeral: request.ephemeral,
        kept,
        is_init: request.is_init,
    })
}

/// The command: as asked for, else the default one, each behind the entry point.
fn command(request: &Request, defaults: &Defaults) -> Result<Vec<Text>, Usage> {
    let asked: Vec<Text> = request.command.iter().cloned().map(Text).collect();
    // Whoever takes another entry point has no use for the words that follow the old one.
    let words = match &request.entrypoint {
        Some(own) => Some(Text(own.clone())).filter(|own| !own.is_empty()).into_iter().chain(asked).collect(),
        None if asked.is_empty() => [&defaults.entrypoint[..], &defaults.command].concat(),
        None => [&defaults.entrypoint[..], &asked].concat(),
    };
    match words.first().map(|first| first.as_bytes()) {
        None | Some([]) => Err(Usage("the command is empty: name a program".to_owned())),
        // An emulator would take it for an option of its own.
        Some([b'-', ..]) => {
            Err(Usage(format!("the command `{}` begins with a dash: name it by a path", words[0])))
        }
        Some(_) => Ok(words),
    }
}

/// The variables: ours, then those of the root, of the user, of the command line, each once.
fn environment(
    request: &Request,
    defaults: &Defaults,
    own: &[(OsString, OsString)],
) -> Result<Vec<(Text, Text)>, Usage> {
    let mut all: Vec<(Text, Text)> = vec![("PATH".into(), PATH.into())];
    let mut set = |name: Text, value: Text| match all.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => all.push((name, value)),
    };
    let kept = |name: &OsStr| KEPT.iter().any(|one| name == *one) || name.as_bytes().starts_with(b"LC_");
    for (name, value) in own.iter().filter(|(name, _)| kept(name)) {
        set(name.clone().into(), value.clone().into());
    }
    defaults.environment.iter().cloned().for_each(|(name, value)| set(name, value));
    for word in &request.environment {
        let (name, value) = match split(word, b'=') {
            Some((name, value)) => (name, value),
            None => match own.iter().find(|(name, _)| name == word) {
                Some((name, value)) => (name.clone(), value.clone()),
                None => continue,
            },
        };
        if name.is_empty() {
            return Err(Usage(format!("--env {}: a variable has a name", Text(word.clone()))));
        }
        set(name.into(), value.into());
    }
    Ok(all)
}

/// The two parts of a word, before and after a byte.
fn split(word: &OsStr, at: u8) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|byte| *byte == at)?;
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((part(&bytes[..at]), part(&bytes[at + 1..])))
}

/// `SRC:DST[:ro]`
fn bind(word: &OsStr) -> Result<Bind, Usage> {
    let wrong =
        |why: &str| Usage(format!("--bind {}: {why}; the form is SRC:DST or SRC:DST:ro", Text(word.into())));
    let mut parts: Vec<&[u8]> = word.as_bytes().split(|byte| *byte == b':').collect();
    let read_only = match parts.get(2) {
        Some(&b"ro") => true,
        Some(&b"rw") | None => false,
        Some(_) => return Err(wrong("the third part is `ro` or `rw`")),
    };
    parts.truncate(if parts.len() > 3 { 4 } else { 2 });
    let &[source, destination] = &parts[..] else { return Err(wrong("there must be two parts")) };
    let (source, destination) =
        (Path::new(OsStr::from_bytes(source)), Path::new(OsStr::from_bytes(destination)));
    if source.as_os_str().is_empty() || !destination.is_absolute() {
        return Err(wrong("DST is an absolute path of the root"));
    }
    if destination.components().any(|part| part == Component::ParentDir) || destination == Path::new("/") {
        return Err(wrong("DST is a path below the root, without `..`"));
    }
    let absolute = std::path::absolute(source).map_err(|error| wrong(&error.to_string()))?;
    if !absolute.exists() {
        return Err(Usage(format!("--bind {}: there is no {}", Text(word.into()), absolute.display())));
    }
    Ok(Bind { source: absolute.into(), destination: destination.into(), read_only })
}

impl Plan {
    /// The plan for people, a line each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<13} {value}");
        };
        let words = |words: &[Text]| words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        match &self.root {
            Source::Folder(path) => line("root", path.to_string()),
            Source::Archive { path, .. } => line("root", format!("{path}, unpacked in memory")),
            Source::Image { about, .. } => {
                line("image", format!("{} for {}, {}", about.name, about.platform, about.digest));
            }
        }
        match &self.emulator {
            Some(emulator) => {
                line("emulator", words(&[slice::from_ref(&emulator.path), &self.options].concat()));
            }
            None => line("emulator", "none: this machine runs the root itself".to_owned()),
        }
        line("command", words(&self.command));
        line("user", self.user.clone().unwrap_or_else(|| "root".to_owned()));
        line(
            "ids",
            match &self.ids {
                Ids::Granted { users, groups } => {
                    let count = |ranges: &[super::ids::Range]| {
                        ranges.iter().map(|one| u64::from(one.count)).sum::<u64>()
                    };
                    format!("{} users and {} groups, by newuidmap", count(users), count(groups))
                }
                Ids::One { why, .. } => format!("one; {why}"),
                Ids::Same { .. } => "those of this machine".to_owned(),
            },
        );
        line("folder", self.workdir.to_string());
        line("hostname", self.hostname.clone());
        line("network", if self.network == Network::Host { "this machine's" } else { "none" }.to_owned());
        for bind in &self.binds {
            let how = if bind.read_only { ", read-only" } else { "" };
            line("bind", format!("{} as {}{how}", bind.source, bind.destination));
        }
        if let Some(folder) = &self.translations {
            line("translations", folder.to_string());
        }
        let changes = match (&self.kept, self.read_only, self.ephemeral, &self.root) {
            (Some(kept), ..) => format!("kept as {}, in {}", kept.name, kept.folder),
            (_, true, ..) => "refused".to_owned(),
            (_, _, true, _) | (.., Source::Archive { .. }) => "gone afterwards".to_owned(),
            _ => "kept".to_owned(),
        };
        line("changes", changes);
        for (name, value) in &self.environment {
            line("variable", format!("{name}={value}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            command: Vec::new(),
            entrypoint: None,
            binds: Vec::new(),
            environment: Vec::new(),
            workdir: None,
            user: None,
            hostname: None,
            cpu: None,
            network: Network::Host,
            read_only: false,
            ephemeral: false,
            is_init: false,
        }
    }

    fn found() -> Found {
        let pair = |name: &str, value: &str| (name.into(), value.into());
        Found {
            root: Source::Folder("/srv/arm64".into()),
            defaults: Defaults { command: vec!["/bin/sh".into()], ..Defaults::default() },
            emulator: Some(Emulator {
                path: "/opt/qemu-aarch64".into(),
                target: "aarch64".to_owned(),
                keeps_translations: true,
            }),
            ids: Ids::One { user: 1000, group: 1000, why: "no grant".to_owned() },
            translations: Some("/cache/tb/1".into()),
            kept: None,
            variables: vec![
                pair("HOME", "/home/ann"),
                pair("TERM", "xterm"),
                pair("LC_ALL", "C"),
                pair("SECRET", "x"),
                pair("QEMU_CPU", "max"),
            ],
        }
    }

    fn words(list: &[&str]) -> Vec<OsString> {
        list.iter().map(Into::into).collect()
    }

    fn variable(plan: &Plan, name: &str) -> Option<String> {
        plan.environment.iter().find(|(known, _)| *known == name.into()).map(|(_, value)| value.to_string())
    }

    #[test]
    fn a_root_runs_its_shell_with_an_environment_of_its_own() {
        let plan = plan(&request(), found()).expect("a plan");
        assert_eq!(plan.command, ["/bin/sh".into()]);
        assert!(plan.options.is_empty(), "{plan:?}");
        assert_eq!(variable(&plan, "PATH").as_deref(), Some(PATH));
        assert_eq!(variable(&plan, "TERM").as_deref(), Some("xterm"));
        assert_eq!(variable(&plan, "LC_ALL").as_deref(), Some("C"));
        for name in ["HOME", "SECRET", "QEMU_CPU"] {
            assert_eq!(variable(&plan, name), None, "{name}");
        }
    }

    #[test]
    fn another_entry_point_takes_the_place_of_the_images_with_its_words() {
        let entrypoint = vec!["/entry".into(), "-x".into()];
        let defaults = Defaults { entrypoint, command: vec!["serve".into()], ..Defaults::default() };
        let words = |entrypoint: Option<&str>, command: &[&str]| {
            let asked =
                Request { entrypoint: entrypoint.map(Into::into), command: words(command), ..request() };
            plan(&asked, Found { defaults: defaults.clone(), ..found() }).map(|plan| plan.command).ok()
        };
        let is =
            |words: &[&str]| -> Option<Vec<Text>> { Some(words.iter().map(|word| (*word).into()).collect()) };
        assert_eq!(words(None, &[]), is(&["/entry", "-x", "serve"]));
        assert_eq!(words(None, &["ls"]), is(&["/entry", "-x", "ls"]));
        assert_eq!(words(Some("sh"), &[]), is(&["sh"]));
        assert_eq!(words(Some("sh"), &["-c", "id"]), is(&["sh", "-c", "id"]));
        assert_eq!(words(Some(""), &["id"]), is(&["id"]));
        assert_eq!(words(Some(""), &[]), None);
    }

    #[test]
    fn variables_are_set_or_kept_and_the_command_line_wins() {
        let asked =
            Request { environment: words(&["SECRET", "TERM=dumb", "A=b=c", "UNSET", "EMPTY="]), ..request() };
        let defaults = Defaults {
            environment: vec![("A".into(), "image".into()), ("PATH".into(), "/opt".into())],
            ..found().defaults
        };
        let plan = plan(&asked, Found { defaults, ..found() }).expect("a plan");
        for (name, value) in
            [("SECRET", "x"), ("TERM", "dumb"), ("A", "b=c"), ("EMPTY", ""), ("PATH", "/opt")]
        {
            assert_eq!(variable(&plan, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(variable(&plan, "UNSET"), None);
    }

    #[test]
    fn the_entry_point_stands_before_every_command() {
        let defaults = Defaults { entrypoint: vec!["/entry".into()], ..found().defaults };
        let of = |asked: &[&str]| {
            let asked = Request { command: words(asked), ..request() };
            plan(&asked, Found { defaults: defaults.clone(), ..found() }).expect("a plan").command
        };
        assert_eq!(of(&[]), ["/entry".into(), "/bin/sh".into()]);
        assert_eq!(of(&["a", "-b"]), ["/entry".into(), "a".into(), "-b".into()]);
    }

    #[test]
    fn binds_say_what_is_seen_where() {
        let asked = Request { binds: words(&["/usr:/mnt/usr:ro", "/:/host", "/etc:/e:rw"]), ..request() };
        let binds = plan(&asked, found()).expect("a plan").binds;
        let shown: Vec<_> = binds
            .iter()
            .map(|one| (one.source.to_string(), one.destination.to_string(), one.read_only))
            .collect();
        let expected = [("/usr", "/mnt/usr", true), ("/", "/host", false), ("/etc", "/e", false)];
        assert_eq!(shown, expected.map(|(one, other, ro)| (one.to_owned(), other.to_owned(), ro)));
    }

    #[test]
    fn what_makes_no_sense_is_told_before_anything_is_done() {
        let cases: Vec<(Request, &str)> = vec![
            (Request { binds: words(&["/no/such:/x"]), ..request() }, "there is no /no/such"),
            (Request { binds: words(&["/usr"]), ..request() }, "there must be two parts"),
            (Request { binds: words(&["/usr:/x:ro:y"]), ..request() }, "there must be two parts"),
            (Request { binds: words(&["/usr:x"]), ..request() }, "DST is an absolute path"),
            (Request { binds: words(&["/usr:/x/../../y"]), ..request() }, "without `..`"),
            (Request { binds: words(&["/usr:/"]), ..request() }, "below the root"),
            (Request { binds: words(&["/usr:/x:wo"]), ..request() }, "`ro` or `rw`"),
            (Request { environment: words(&["=x"]), ..request() }, "a variable has a name"),
            (Request { workdir: Some("tmp".into()), ..request() }, "an absolute path"),
            (Request { hostname: Some(String::new()), ..request() }, "1 to 64"),
            (Request { command: words(&["-x"]), ..request() }, "begins with a dash"),
            (Request { command: words(&[""]), ..request() }, "is empty"),
        ];
        for (asked, said) in cases {
            let error = plan(&asked, found()).expect_err(said).to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let native = Found { emulator: None, ..found() };
        let error = plan(&Request { cpu: Some("max".into()), ..request() }, native).expect_err("no emulator");
        assert!(error.to_string().contains("--cpu"));
    }

    #[test]
    fn a_plan_is_handed_on_as_it_is_and_shown_to_people() {
        let asked = Request {
            command: vec![OsString::from_vec(b"/bin/\xff".to_vec())],
            binds: words(&["/usr:/mnt:ro"]),
            cpu: Some("max".into()),
            ..request()
        };
        let plan = plan(&asked, found()).expect("a plan");
        let json = serde_json::to_string(&plan).expect("JSON");
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("a plan"), plan);
        let text = plan.text();
        for line in [
            "root          /srv/arm64\n",
            "emulator      /opt/qemu-aarch64 -cpu max\n",
            "ids           one; no grant\n",
            "bind          /usr as /mnt, read-only\n",
            "translations  /cache/tb/1\n",
            "changes       kept\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
