//! A cache in a folder that vanishes, and the shortest way through all stages.

use anyarch_client::progress::Progress;
use anyarch_client::transfer::RetryPolicy;
use anyarch_image::{Access, Images, Limits, Options, Owners, Platform, Root, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Tries that do not wait for long.
pub fn hasty() -> RetryPolicy {
    RetryPolicy {
        tries: 3,
        useful: 1000,
        pause: Duration::from_millis(5),
        longest_wait: Duration::from_secs(2),
        stall: Duration::from_millis(1200),
        ..RetryPolicy::default()
    }
}

/// A folder for a cache and whatever else.
pub struct Place {
    pub home: TempDir,
    pub options: Options,
}

impl Place {
    pub fn new() -> Self {
        let access = Access { policy: hasty(), ..Access::default() };
        let limits = Limits { unpacked: 8 << 20, entries: 5000, ratio: 100, harmless: 1 << 20 };
        let options = Options { access, limits, ..Options::default() };
        // In memory, where there is such a folder: what is forced to a busy disk takes long.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { home: home.unwrap(), options }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn images(&self) -> Images {
        Images::open(&self.path("cache"), self.options.clone(), &Progress::silent()).unwrap()
    }

    /// From a name to a root. Whoever has one id only squashes owners.
    pub fn root(&self, name: &str, platform: Option<&str>) -> Result<Root, String> {
        self.root_for(name, platform, Owners::possible())
    }

    pub fn root_for(&self, name: &str, platform: Option<&str>, owners: Owners) -> Result<Root, String> {
        let all = || -> anyhow::Result<Root> {
            let images = self.images();
            let source = Source::named(name)?;
            let platform = platform.map(str::parse::<Platform>).transpose()?;
            images.resolve(&source, platform.as_ref())?.pull()?.root(owners)
        };
        all().map_err(|error| format!("{error:#}"))
    }

    /// Checks that nothing half done is in the cache: no root that was not asked for, no scratch.
    pub fn assert_clean(&self, roots: usize) {
        let names = |folder: PathBuf| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let all = names(self.path("cache/images/roots"));
        let found: Vec<&String> = all.iter().filter(|name| !name.ends_with(".lock")).collect();
        assert_eq!(found.len(), roots, "{found:?}");
        assert!(!names(self.path("cache/images")).iter().any(|name| name.starts_with(".partial")));
    }
}

pub fn read(root: &Root, name: &str) -> String {
    std::fs::read_to_string(root.path().join(name)).unwrap()
}

/// All paths below a folder, sorted.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in std::fs::read_dir(one).unwrap().flatten() {
            let path = entry.path();
            all.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    all.sort();
    all
}
