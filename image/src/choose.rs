//! Which of the images that an index lists is meant.

use crate::document::Descriptor;
use crate::platform::Platform;

/// An image is not there for a platform that was asked for, or for this machine.
#[derive(Debug, thiserror::Error)]
#[error("{image} is not there for {wanted}, but for {}: pass one of these with --platform", list(.available))]
pub struct WrongPlatform {
    /// The image, as it was named.
    pub image: String,
    /// What was asked for.
    pub wanted: Platform,
    /// What the image is there for.
    pub available: Vec<Platform>,
}

fn list(platforms: &[Platform]) -> String {
    match platforms {
        [] => "no platform".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Chooses from the list of an index: the best for the platform that is wanted. Where none is named, that of this
/// machine is, or the only one that there is.
///
/// # Errors
/// When there is none.
pub fn choose<'a>(
    image: &str,
    all: &'a [Descriptor],
    wanted: Option<&Platform>,
) -> Result<&'a Descriptor, WrongPlatform> {
    let native = Platform::native();
    let asked = wanted.unwrap_or(&native);
    let images: Vec<&Descriptor> = all.iter().filter(|one| !is_about_another(one)).collect();
    let platform = |one: &Descriptor| one.platform.as_ref().map(Platform::from);
    let suits = |one: &Descriptor| platform(one).and_then(|offered| asked.suits(&offered));
    // Of equal ones the first, as everywhere.
    let best = images.iter().rev().filter(|one| suits(one).is_some()).max_by_key(|one| suits(one));
    let mut available: Vec<Platform> = images.iter().filter_map(|one| platform(one)).collect();
    available.sort();
    available.dedup();
    let unnamed = images.iter().filter(|one| one.platform.is_none());
    let only = match (best, wanted, images.as_slice()) {
        (Some(best), ..) => Some(best),
        (None, None, [one]) => Some(one),
        // What a layout does not say, the image's config does.
        (None, Some(_), [one]) if one.platform.is_none() => Some(one),
        (None, ..) if available.is_empty() && unnamed.count() == 1 => images.first(),
        _ => None,
    };
    only.copied().ok_or_else(|| WrongPlatform { image: image.to_owned(), wanted: asked.clone(), available })
}

/// Whether it is no image, but what BuildKit attests of one.
fn is_about_another(one: &Descriptor) -> bool {
    let is_unknown = one.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    is_unknown || one.annotations.contains_key("vnd.docker.reference.type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(platform: &str) -> Descriptor {
        let parts: Vec<&str> = platform.split('/').filter(|part| !part.is_empty()).collect();
        let part = |at: usize| parts.get(at).map(|part| (*part).to_owned());
        let platform = (!parts.is_empty()).then(|| crate::document::Offered {
            os: part(0).unwrap_or_default(),
            architecture: part(1).unwrap_or_default(),
            variant: part(2),
        });
        let digest = Digest::of(format!("{platform:?}").as_bytes());
        Descriptor { media_type: String::new(), digest, size: 1, platform, annotations: Default::default() }
    }

    fn chosen(all: &[&str], wanted: Option<&str>) -> Result<usize, String> {
        let all: Vec<Descriptor> = all.iter().map(|one| entry(one)).collect();
        let wanted = wanted.map(|text| text.parse::<Platform>().expect("a platform"));
        let one = choose("x", &all, wanted.as_ref()).map_err(|error| error.to_string())?;
        Ok(all.iter().position(|other| other == one).expect("one of them"))
    }

    #[test]
    fn the_best_for_a_platform_is_taken() {
        let index = ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "unknown/unknown"];
        assert_eq!(chosen(&index, Some("linux/arm64")), Ok(3));
        assert_eq!(chosen(&index, Some("linux/arm")), Ok(2));
        assert_eq!(chosen(&index, Some("linux/arm/v6")), Ok(1));
        let native = Platform::native().to_string();
        assert_eq!(chosen(&["linux/mips", &native], None), Ok(1));
        assert_eq!(chosen(&["linux/mips", "unknown/unknown"], None), Ok(0), "the only one");
        assert_eq!(chosen(&[""], Some("linux/mips")), Ok(0), "its config will say it");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let error = chosen(&["linux/amd64", "windows/amd64", "unknown/unknown"], Some("linux/riscv64"));
        let error = error.expect_err("it is not there");
        assert!(
            error.contains("not there for linux/riscv64, but for linux/amd64, windows/amd64: pass"),
            "{error}"
        );
        assert!(chosen(&["linux/mips", "linux/mips64"], None).is_err());
        assert!(chosen(&[], None).expect_err("empty").contains("no platform"));
    }
}
