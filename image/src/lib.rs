//! Container images without a container engine: from the name of one to a root folder on the disk.
//!
//! ```no_run
//! use anyarch_image::{Images, Options, Owners, Source};
//! # fn main() -> anyhow::Result<()> {
//! let progress = anyarch_client::progress::Progress::new(0);
//! let images = Images::open(std::path::Path::new("/home/me/.cache/anyarch"), Options::default(), &progress)?;
//! let source = Source::named("debian:bookworm-slim")?;
//! let platform = "linux/arm64".parse()?;
//! let pulled = images.resolve(&source, Some(&platform))?.pull()?;
//! let root = pulled.root(Owners::possible())?; // in the user namespace that it is for
//! println!("{}: {:?}", root.path().display(), pulled.run().command(&[]));
//! # Ok(())
//! # }
//! ```
//!
//! Every byte is checked by digest and size before it is used, and a layer is unpacked as a hostile archive. Nothing is
//! half done: blobs and roots appear in the cache by a rename. `docs/images-run.md` says what users see of this, and
//! `docs/driver.md` shows the layers.

// The whole way.
mod stages;
// What it takes from.
mod choose;
mod layout;
mod names;
mod push;
mod registry;
mod root;
mod source;
// What these stand on.
mod challenge;
mod credentials;
mod decompress;
mod digest;
mod document;
mod hashed;
mod layer;
mod limits;
mod member;
mod platform;
mod reference;
mod store;

pub use choose::WrongPlatform;
pub use credentials::Credentials;
pub use digest::{Digest, InvalidDigest};
pub use document::Run;
pub use layer::{Digests, LeftOut, Owners, Unpacking};
pub use limits::Limits;
pub use platform::{InvalidPlatform, Platform};
pub use push::{Pushed, push};
pub use reference::{InvalidReference, Reference};
pub use registry::Access;
pub use root::{About, Listed, Root};
pub use source::Source;
pub use stages::{Ask, Images, Options, Pulled, Resolved};
