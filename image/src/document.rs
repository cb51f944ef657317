//! What registries and layouts say of an image: index, manifest and config, of OCI's or Docker's kind. Read from bytes
//! whose digest was checked, and refused where they are ambiguous or ask for too much.

use crate::digest::Digest;
use crate::platform::Platform;
use anyarch_client::answer::printable;
use anyhow::{Context as _, Result, bail, ensure};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes of a document: what registries take at least, and most take at most.
pub const MAX_BYTES: u64 = 4 << 20;

/// The most layers of an image; Docker makes at most 127.
const MAX_LAYERS: usize = 500;

/// The most that the packed layers of an image may have together, in bytes.
const MAX_PACKED: u64 = 64 << 30;

/// Media types of a manifest and an index, OCI's and Docker's, for those who are asked for either.
pub const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A blob, as a document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its media type.
    #[serde(default)]
    pub media_type: String,
    /// What its bytes must be.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// In an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Offered>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A platform, as a document spells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Go's name of the operating system.
    #[serde(default)]
    pub os: String,
    /// Go's name of the processor.
    #[serde(default)]
    pub architecture: String,
    /// Which of these processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl From<&Offered> for Platform {
    fn from(offered: &Offered) -> Self {
        Self {
            os: printable(&offered.os),
            architecture: printable(&offered.architecture),
            variant: offered.variant.as_deref().filter(|variant| !variant.is_empty()).map(printable),
        }
    }
}

/// A document that a name leads to.
#[derive(Debug)]
pub enum Document {
    /// Images for several platforms.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// One image: its config and its layers, the lowest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// Where its config is.
    pub config: Descriptor,
    /// Where its layers are.
    pub layers: Vec<Descriptor>,
}

/// All that either may have; what both have cannot be told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    schema_version: u32,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads an index or a manifest.
    ///
    /// # Errors
    /// When it is neither, or both, of a kind that holds no file system, or bigger than any image is.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let Either { schema_version, manifests, config, layers, fs_layers } = json(bytes)?;
        ensure!(
            schema_version == 2 && fs_layers.is_none(),
            "it is of version {schema_version} of the format, which registries gave up in 2019: push the image again"
        );
        match (manifests, config, layers) {
            (Some(manifests), None, None) => Ok(Self::Index(manifests)),
            (None, Some(config), Some(layers)) => {
                let manifest = Manifest { schema_version, config, layers };
                manifest.check()?;
                Ok(Self::Manifest(manifest))
            }
            (Some(_), ..) => {
                bail!("refused: it is an index and a manifest at once, so nobody knows what it means")
            }
            _ => bail!("it is neither the manifest of an image nor an index of several"),
        }
    }
}

impl Manifest {
    fn check(&self) -> Result<()> {
        let kind = printable(&self.config.media_type);
        let is_image = kind.is_empty()
            || ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"]
                .contains(&kind.as_str());
        ensure!(is_image, "it is no image of a system: it holds {kind}");
        for layer in &self.layers {
            let kind = printable(&layer.media_type);
            let is_layer = kind.is_empty() || kind.contains("tar") && !kind.contains("encrypted");
            ensure!(is_layer, "it has a layer that cannot be unpacked: {kind}");
        }
        ensure!(
            self.layers.len() <= MAX_LAYERS,
            "refused: it has {} layers, and the limit is {MAX_LAYERS}",
            self.layers.len()
        );
        let packed = self.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        ensure!(
            packed <= MAX_PACKED,
            "refused: its layers have {packed} bytes, and the limit is {MAX_PACKED}"
        );
        ensure!(self.config.size <= MAX_BYTES, "refused: its config has {} bytes", self.config.size);
        Ok(())
    }
}

/// What an image's config says.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    offered: Offered,
    config: Option<RawRun>,
    rootfs: RootFs,
}

#[derive(Debug, Clone, Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// JSON as Go writes it: `null` where a list is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}

/// What an image says about the program that is started in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The words that every command begins with.
    pub entrypoint: Vec<String>,
    /// The words that follow where the user gives none.
    pub cmd: Vec<String>,
    /// Variables with their values, in the image's order.
    pub env: Vec<(String, String)>,
    /// `user`, `user:group`, or their numbers; empty for root. The names are those of the image's `/etc/passwd`.
    pub user: String,
    /// The folder to start in; empty for `/`.
    pub working_dir: String,
    /// The signal that asks the program to end, as the image spells it; empty for SIGTERM.
    pub stop_signal: String,
}

impl Run {
    /// The command to start: the entry point, then the user's words or, if there are none, the image's.
    pub fn command(&self, words: &[String]) -> Vec<String> {
        let words = if words.is_empty() { &self.cmd } else { words };
        [&self.entrypoint, words].concat()
    }
}

impl Config {
    /// Reads the config of an image.
    ///
    /// # Errors
    /// When it is none, or holds words that no program can be started with.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let config: Self = json(bytes)?;
        let run = config.config.iter().flat_map(|run| {
            let lists = [&run.entrypoint, &run.cmd, &run.env].into_iter().flatten().flatten();
            lists.chain([&run.user, &run.working_dir, &run.stop_signal].into_iter().flatten())
        });
        ensure!(!run.into_iter().any(|word| word.contains('\0')), "refused: it has a word with a NUL");
        Ok(config)
    }

    /// What the image is made for. `None` where it does not say so.
    pub fn platform(&self) -> Option<Platform> {
        let platform = Platform::from(&self.offered);
        (!platform.os.is_empty() && !platform.architecture.is_empty()).then_some(platform)
    }

    /// The digests of the unpacked layers, the lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// What it says about the program that is started.
    pub fn run(&self) -> Run {
        let raw = self.config.clone().unwrap_or_default();
        let env = raw.env.unwrap_or_default().into_iter().map(|line| match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (line, String::new()),
        });
        Run {
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            env: env.filter(|(name, _)| !name.is_empty()).collect(),
            user: raw.user.unwrap_or_default(),
            working_dir: raw.working_dir.unwrap_or_default(),
            stop_signal: raw.stop_signal.unwrap_or_default(),
        }
    }
}

/// Reads JSON; the error shows nothing of it that a terminal would obey.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| anyhow::Error::msg(printable(&error.to_string())))
        .context("it cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(kind: &str, size: u64) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{size}}}"#, Digest::of(b""))
    }

    #[test]
    fn documents_that_are_ambiguous_old_or_of_something_else_are_refused() {
        let blob = descriptor("", 1);
        let huge = descriptor("", u64::MAX);
        let chart = descriptor("application/vnd.cncf.helm.config.v1+json", 1);
        let many = vec![blob.as_str(); 501].join(",");
        for (text, reason) in [
            (format!(r#"{{"schemaVersion":2,"manifests":[],"config":{blob},"layers":[]}}"#), "at once"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "gave up in 2019"),
            (r#"{"schemaVersion":2}"#.to_owned(), "neither"),
            (format!(r#"{{"schemaVersion":2,"config":{chart},"layers":[]}}"#), "helm"),
            (format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{huge},{huge}]}}"#), "the limit is"),
            (format!(r#"{{"schemaVersion":2,"config":{huge},"layers":[]}}"#), "its config has"),
            (format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{many}]}}"#), "501 layers"),
            (r#"{"schemaVersion":2,"schemaVersion":2,"manifests":[]}"#.to_owned(), "duplicate field"),
            ("<html>".to_owned(), "cannot be read"),
            (format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{chart}]}}"#), "cannot be unpacked"),
            (String::new(), "cannot be read"),
        ] {
            let error = format!("{:#}", Document::read(text.as_bytes()).expect_err(&text));
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn a_config_is_plain_words_for_the_caller() {
        let text = r#"{"os":"linux","architecture":"arm","variant":"v7","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Entrypoint":["/a"],"Cmd":null,"Env":["PATH=/bin:/x=y","EMPTY=","BARE"],"User":"1:2","WorkingDir":"/w"}}"#;
        let config = Config::read(text.as_bytes()).expect("read");
        assert_eq!(config.platform().expect("one").to_string(), "linux/arm/v7");
        let run = config.run();
        let env = [("PATH", "/bin:/x=y"), ("EMPTY", ""), ("BARE", "")];
        assert_eq!(run.env, env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((run.user.as_str(), run.working_dir.as_str()), ("1:2", "/w"));
        assert_eq!(run.command(&["b".to_owned()]), ["/a", "b"]);
        let bare = Config::read(br#"{"rootfs":{"diff_ids":[]}}"#).expect("read");
        assert_eq!((bare.platform(), bare.run()), (None, Run::default()));
        let nul = r#"{"rootfs":{"diff_ids":[]},"config":{"Cmd":["a\u0000b"]}}"#;
        assert!(Config::read(nul.as_bytes()).is_err());
    }
}
