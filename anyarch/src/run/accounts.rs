//! Users of a root, by its own `/etc/passwd` and `/etc/group`, which may say anything.

use crate::run::ids::Ids;
use crate::run::target;
use anyhow::{Result, bail};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;

/// The most of a file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Who a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// The home folder.
    pub home: String,
}

/// The account that `user` names: `NAME`, `NUMBER`, `NAME:GROUP` and the like; root, if none.
///
/// # Errors
/// When there is no such user or group, or it is not mapped.
pub fn account(root: impl AsFd, user: Option<&str>, ids: &Ids) -> Result<Account> {
    let account = find(&read(&root, "etc/passwd"), &read(&root, "etc/group"), user.unwrap_or("0"))?;
    if !ids.has(account.user, account.group) {
        let why = match ids {
            Ids::One { why, .. } => format!("there is one id: {why}"),
            Ids::Granted { .. } => {
                "its number is higher than what /etc/subuid and /etc/subgid grant".to_owned()
            }
            Ids::Same { .. } => "the namespace that this runs in does not have it".to_owned(),
        };
        bail!("the user {}, group {}, is not there: {why}", account.user, account.group);
    }
    let groups = account.groups.iter().copied().filter(|group| ids.has(account.user, *group));
    Ok(Account { groups: groups.collect(), ..account })
}

/// A file of the root, or nothing.
fn read(root: impl AsFd, path: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut text = String::new();
    if let Ok(file) = target::within(root, path, flags).map(File::from)
        && file.metadata().is_ok_and(|meta| meta.is_file())
    {
        // What is no text names nobody.
        let _ = file.take(MAX_BYTES).read_to_string(&mut text);
    }
    text
}

fn find(passwd: &str, group: &str, spec: &str) -> Result<Account> {
    let (user, own_group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (spec, None),
    };
    let lines = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let (users, groups) = (lines(passwd), lines(group));
    let known = users.iter().find(|fields| {
        fields.len() >= 7 && (fields[0] == user || (fields[2] == user && user.parse::<u32>().is_ok()))
    });
    let number = |text: &str| text.parse::<u32>().ok();
    let (uid, gid, name, home) = match known {
        Some(fields) => match (number(&fields[2]), number(&fields[3])) {
            (Some(uid), Some(gid)) => (uid, gid, fields[0].as_str(), fields[5].clone()),
            _ => bail!("the root's /etc/passwd has a broken line for {user}"),
        },
        None => match number(user) {
            Some(uid) => (uid, 0, "", if uid == 0 { "/root" } else { "/" }.to_owned()),
            None => bail!("there is no user {user} in the root's /etc/passwd"),
        },
    };
    let gid = match own_group {
        None => gid,
        Some(wanted) => match groups.iter().find(|fields| fields.len() >= 3 && fields[0] == wanted) {
            Some(fields) => number(&fields[2]).unwrap_or(gid),
            None => match number(wanted) {
                Some(gid) => gid,
                None => bail!("there is no group {wanted} in the root's /etc/group"),
            },
        },
    };
    let is_member = |fields: &&Vec<String>| {
        fields.len() >= 4 && !name.is_empty() && fields[3].split(',').any(|member| member == name)
    };
    let others: Vec<u32> = match own_group {
        None => groups.iter().filter(is_member).filter_map(|fields| number(&fields[2])).collect(),
        Some(_) => Vec::new(),
    };
    let home = if home.starts_with('/') { home } else { "/".to_owned() };
    Ok(Account { user: uid, group: gid, groups: others, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbad:x:y:1::/:/\n\nodd\n";
    const GROUP: &str = "root:x:0:\naudio:x:29:bob,ann\nann:x:1000:\nvideo:x:44:ann\n";

    #[test]
    fn a_user_goes_by_name_or_number_with_groups() {
        let account = |spec: &str| find(PASSWD, GROUP, spec).expect(spec);
        let ann = Account { user: 1000, group: 1000, groups: vec![29, 44], home: "/home/ann".to_owned() };
        assert_eq!(account("ann"), ann);
        assert_eq!(account("1000"), ann);
        assert_eq!(account("ann:audio"), Account { group: 29, groups: Vec::new(), ..ann.clone() });
        assert_eq!(account("ann:7"), Account { group: 7, groups: Vec::new(), ..ann });
        let nobody = Account { user: 5, group: 0, groups: Vec::new(), home: "/".to_owned() };
        assert_eq!(account("5"), nobody);
        assert_eq!(find("", "", "0").expect("root").home, "/root");
    }

    #[test]
    fn whoever_is_not_there_is_named() {
        for (spec, said) in
            [("bob", "no user bob"), ("ann:x", "no group x"), ("bad", "broken line"), ("", "no user")]
        {
            let error = find(PASSWD, GROUP, spec).expect_err(spec).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
