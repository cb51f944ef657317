//! Images of containers as roots. They are pulled outside, with the user's own network, and unpacked where the ids of a
//! run are mapped, so that every file has its owner. No run changes them: changes are in memory.

use crate::run::handover;
use crate::run::ids::Ids;
use crate::run::mapper::Mapper;
use crate::run::plan::Plan;
use crate::run::root::{Defaults, Root, Source};
use crate::run::target;
use crate::session::Session;
use crate::text::Text;
use anyarch_client::claim::{self, FolderLock};
use anyarch_client::error::Usage;
use anyarch_client::progress::Progress;
use anyarch_client::{files, machine};
use anyarch_image::{
    About, Access, Ask, Credentials, Images, Limits, Listed, Options, Owners, Platform, Resolved, Run,
    WrongPlatform,
};
use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The word of the command line for the stage that removes images.
pub const STAGE: &str = "__clean";

/// The message for `--plain-http` with anything else.
pub const ONLY_REGISTRIES: &str = "--plain-http is for images of a registry";

/// What helps where the cache cannot be used.
const OTHER_CACHE: &str = "set ANYARCH_CACHE to a folder that you can write to";

/// The image that a word of the command line names. `None` where it names a folder or an archive of a root.
///
/// # Errors
/// [`Usage`] when it can be neither.
pub fn named(word: &Path) -> Result<Option<anyarch_image::Source>, Usage> {
    if word.exists() {
        // What cannot be read as images may be a root, and whoever reads that tells what is wrong.
        return Ok(anyarch_image::Source::at(word, &Limits::default()).ok().flatten());
    }
    let Some(text) = word.to_str() else { return Ok(None) };
    match anyarch_image::Source::named(text) {
        Ok(anyarch_image::Source::Files { name: None, .. }) if text.starts_with(['/', '.']) => Ok(None),
        Ok(source) => Ok(Some(source)),
        Err(why) => Err(Usage(format!("there is no folder or archive {}, and {why}", Text::from(word)))),
    }
}

/// Pulls an image, as far as the cache does not have it; over plain HTTP, if `is_plain`.
///
/// # Errors
/// When it cannot be had, or not for this platform.
pub fn pull(
    session: &Session,
    source: &anyarch_image::Source,
    platform: Option<&Platform>,
    ask: Ask,
    is_plain: bool,
) -> Result<Root> {
    let _claim = claim::shared(&session.cache).context(OTHER_CACHE)?;
    let plain_http = match source {
        anyarch_image::Source::Registry(image) if is_plain => vec![image.registry().to_owned()],
        _ if is_plain => return Err(Usage(ONLY_REGISTRIES.to_owned()).into()),
        _ => Vec::new(),
    };
    let access = Access { credentials: Credentials::of_user(), plain_http, ..Access::default() };
    let options = Options { access, ask, ..Options::default() };
    let images = Images::open(&session.cache, options, &session.progress).context(OTHER_CACHE)?;
    let pulled = images
        .resolve(source, platform)
        .and_then(Resolved::pull)
        .map_err(|error| explained(source, error))?;
    let cache = session.cache.clone().into();
    let source = Source::Image { cache, manifest: pulled.file().into(), about: pulled.about() };
    Ok(Root { source, defaults: defaults(pulled.run()) })
}

/// Why an image cannot be had. The name of one may also be meant for a folder, and be misspelt.
fn explained(source: &anyarch_image::Source, error: anyhow::Error) -> anyhow::Error {
    match source {
        // It is there.
        _ if error.is::<WrongPlatform>() => error,
        anyarch_image::Source::Registry(_) => error.context(format!(
            "the image {source} cannot be had, and there is no folder or archive of that name here"
        )),
        anyarch_image::Source::Files { .. } => error.context(format!("cannot use the image in {source}")),
    }
}

/// What is run in an image if nothing is said.
fn defaults(run: Run) -> Defaults {
    let words = |words: Vec<String>| words.into_iter().map(Text::from).collect::<Vec<_>>();
    let says_nothing = run.entrypoint.is_empty() && run.cmd.is_empty();
    Defaults {
        entrypoint: words(run.entrypoint),
        command: if says_nothing { vec!["/bin/sh".into()] } else { words(run.cmd) },
        environment: run.env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        user: Some(run.user).filter(|user| !user.is_empty()),
        workdir: Some(Path::new("/").join(run.working_dir).into()),
    }
}

/// The root of an image, which nobody removes as long as this value lives.
#[derive(Debug)]
pub struct InUse {
    _claim: FolderLock,
    _root: anyarch_image::Root,
}

/// Unpacks the image of a plan, if it is one and was not unpacked before. From here on, the plan has a folder.
///
/// # Errors
/// When it cannot be unpacked, or its programs are not for what it says.
pub fn unpack(plan: &mut Plan) -> Result<Option<InUse>> {
    let Source::Image { cache, about, .. } = &plan.root else { return Ok(None) };
    let claim = claim::shared(cache.path()).context(OTHER_CACHE)?;
    let images = Images::open(cache.path(), Options::default(), &Progress::plain())?;
    let root = images.pulled(about)?.root(Owners::possible())?;
    check(plan, about, &root.path())?;
    plan.root = Source::Folder(root.path().into());
    Ok(Some(InUse { _claim: claim, _root: root }))
}

/// Checks that an image holds programs of the target that it is run for.
fn check(plan: &Plan, about: &About, root: &Path) -> Result<()> {
    // An image may well have none of the programs that tell; then the emulator tells.
    let Ok(found) = target::of_root(&target::open(root)?, root) else { return Ok(()) };
    let is_right = match &plan.emulator {
        Some(emulator) => emulator.target == found.name,
        None => machine::native().is_ok_and(|host| found.platforms.contains(&host)),
    };
    let About { name, platform, .. } = about;
    match is_right {
        true => Ok(()),
        false => bail!(
            "{name} is for {platform} by its own words, and its programs are for {found}\n  \
             to run them all the same: --platform {platform} --target {found}"
        ),
    }
}

/// The images of a cache that were unpacked.
///
/// # Errors
/// When they cannot be listed.
pub fn unpacked(session: &Session) -> Result<Vec<About>> {
    if !folder(&session.cache).is_dir() {
        return Ok(Vec::new());
    }
    let _claim = claim::shared(&session.cache)?;
    let images = Images::open(&session.cache, Options::default(), &session.progress)?;
    Ok(images.roots()?.into_iter().map(|listed| listed.about).collect())
}

/// The part of a cache that images are in.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join("images")
}

/// The stage that removes all images of a cache, in a user namespace like that in which they were unpacked. Whoever
/// starts it has claimed the cache alone.
///
/// # Errors
/// When one cannot be removed.
pub fn clean(plan: &OsStr) -> Result<ExitCode> {
    let (cache, mut ids): (Text, Ids) = handover::read(&handover::take(plan)?)?;
    let mapper = Mapper::start(&ids)?;
    // Where user namespaces are closed, only root has unpacked anything, and can remove it here.
    if unshare(CloneFlags::CLONE_NEWUSER).is_ok() {
        mapper.map(&mut ids)?;
    }
    let images = Images::open(cache.path(), Options::default(), &Progress::plain())?;
    images.roots()?.into_iter().try_for_each(Listed::remove)?;
    files::remove(&folder(cache.path()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_word_is_a_root_if_there_is_one_and_else_the_name_of_an_image() {
        let home = tempfile::tempdir().expect("a folder");
        let layout = home.path().join("layout");
        fs::create_dir(&layout).expect("made");
        fs::write(layout.join("oci-layout"), "{}").expect("written");
        let is_image = |word: &Path| named(word).expect("one of them").is_some();
        assert!(!is_image(&layout), "half a layout is none");
        fs::write(layout.join("index.json"), "{}").expect("written");
        assert!(is_image(&layout) && !is_image(home.path()));
        for image in ["debian:bookworm-slim", "docker.io/arm64v8/alpine", "oci:no-such", "docker-archive:x"] {
            assert!(is_image(image.as_ref()), "{image}");
        }
        for path in ["/no-such", "./no-such", "../x:y"] {
            assert!(!is_image(path.as_ref()), "{path}");
        }
        let error = named("Srv/Arm64!".as_ref()).expect_err("neither").to_string();
        assert!(
            error.contains("no folder or archive Srv/Arm64!") && error.contains("of an image"),
            "{error}"
        );
    }

    #[test]
    fn what_an_image_says_of_its_program_counts() {
        let empty = defaults(Run::default());
        assert_eq!((empty.command, empty.user), (vec!["/bin/sh".into()], None));
        assert_eq!(empty.workdir, Some("/".into()));
        let run = Run {
            entrypoint: vec!["/entry".to_owned()],
            env: vec![("A".to_owned(), "b=c".to_owned())],
            user: "ann:audio".to_owned(),
            working_dir: "srv".to_owned(),
            ..Run::default()
        };
        let said = defaults(run);
        assert_eq!((said.entrypoint, said.command), (vec!["/entry".into()], Vec::new()));
        assert_eq!(said.environment, [("A".into(), "b=c".into())]);
        assert_eq!((said.user.as_deref(), said.workdir), (Some("ann:audio"), Some("/srv".into())));
    }
}
