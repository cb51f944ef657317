//! Templates: one word that is missing is an error, and in a page or a picture every text is escaped.

use anyhow::{Context as _, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// Fills in a template. The end of its name, `.html` or `.xml`, is what turns escaping on.
///
/// # Errors
/// When a word is missing.
pub fn render(name: &'static str, text: &'static str, with: &impl Serialize) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.context("the template's syntax")?);
    environment.add_template(name, text).with_context(|| format!("the template {name} is invalid"))?;
    let template =
        environment.get_template(name).with_context(|| format!("the template {name} is missing"))?;
    template.render(Serde(with)).with_context(|| format!("{name} cannot be rendered"))
}
