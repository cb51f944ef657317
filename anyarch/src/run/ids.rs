//! Which users and groups there are in a user namespace: all that `/etc/subuid` and `/etc/subgid` grant, or one.

use serde::{Deserialize, Serialize};

/// A run of ids that are mapped one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many there are.
    pub count: u32,
}

/// How the ids of a namespace are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ids {
    /// By `newuidmap` and `newgidmap`, the system's programs for it: what was granted, with root as the user.
    Granted {
        /// Users.
        users: Vec<Range>,
        /// Groups.
        groups: Vec<Range>,
    },
    /// Root, who is the user, and nobody else.
    One {
        /// The user outside.
        user: u32,
        /// The group outside.
        group: u32,
        /// Why there are no others.
        why: String,
    },
    /// All ids as they are: the user is root.
    Same {
        /// Users.
        users: Vec<Range>,
        /// Groups.
        groups: Vec<Range>,
    },
}

impl Ids {
    /// Whether a user and a group of these numbers are there.
    pub fn has(&self, user: u32, group: u32) -> bool {
        let within = |ranges: &[Range], id: u32| {
            ranges.iter().any(|one| one.inside <= id && id - one.inside < one.count)
        };
        match self {
            Self::Granted { users, groups } | Self::Same { users, groups } => {
                within(users, user) && within(groups, group)
            }
            Self::One { .. } => user == 0 && group == 0,
        }
    }
}

/// Who runs the program, and what the system grants them.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// The effective user.
    pub user: u32,
    /// The effective group.
    pub group: u32,
    /// The user's name, if there is one.
    pub name: Option<String>,
    /// `/etc/subuid`.
    pub subuid: String,
    /// `/etc/subgid`.
    pub subgid: String,
    /// Whether `newuidmap` and `newgidmap` are in `PATH`.
    pub has_newuidmap: bool,
    /// `/proc/self/uid_map`.
    pub uid_map: String,
    /// `/proc/self/gid_map`.
    pub gid_map: String,
}

/// Chooses the ids for a namespace.
pub fn choose(owner: &Owner) -> Ids {
    if owner.user == 0 {
        return Ids::Same { users: same(&owner.uid_map), groups: same(&owner.gid_map) };
    }
    let users = granted(&owner.subuid, owner, owner.user);
    let groups = granted(&owner.subgid, owner, owner.group);
    let why = match (users.len() > 1, groups.len() > 1, owner.has_newuidmap) {
        (true, true, true) => return Ids::Granted { users, groups },
        (true, true, false) => "newuidmap and newgidmap are missing: apt-get install uidmap".to_owned(),
        (has_users, ..) => {
            let file = if has_users { "/etc/subgid" } else { "/etc/subuid" };
            let name = owner.name.clone().unwrap_or_else(|| owner.user.to_string());
            format!(
                "{file} grants none to {name}: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            )
        }
    };
    Ids::One { user: owner.user, group: owner.group, why }
}

/// Root's own id, then what a file grants, one range after the other.
fn granted(text: &str, owner: &Owner, own: u32) -> Vec<Range> {
    let mut ranges = vec![Range { inside: 0, outside: own, count: 1 }];
    let mut next = 1_u32;
    for line in text.lines() {
        let mut fields = line.trim().splitn(3, ':');
        let (Some(who), Some(outside), Some(count)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let is_own = Some(who) == owner.name.as_deref() || who.parse() == Ok(owner.user);
        let (Ok(outside), Ok(count)) = (outside.parse::<u32>(), count.parse::<u32>()) else { continue };
        let fits = next.checked_add(count).filter(|_| count > 0 && outside.checked_add(count).is_some());
        if let (true, Some(after)) = (is_own, fits) {
            ranges.push(Range { inside: next, outside, count });
            next = after;
        }
    }
    ranges
}

/// What there is now, each id as itself.
fn same(map: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
        let (inside, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Range { inside, outside: inside, count })
    };
    map.lines().filter_map(line).collect()
}

/// A map in the form of `/proc/PID/uid_map`.
pub fn map(ranges: &[Range]) -> String {
    ranges.iter().map(|one| format!("{} {} {}\n", one.inside, one.outside, one.count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            user: 1000,
            group: 1000,
            name: Some("ann".to_owned()),
            subuid: "bob:1:2\nann:100000:65536\n1000:300000:10\nann:x:3\n\nann:5:0\n".to_owned(),
            subgid: "ann:200000:65536\n".to_owned(),
            has_newuidmap: true,
            uid_map: "0 0 4294967295\n".to_owned(),
            gid_map: "0 0 4294967295\n".to_owned(),
        }
    }

    #[test]
    fn all_that_is_granted_by_name_or_number_is_mapped_behind_root() {
        let Ids::Granted { users, groups } = choose(&owner()) else { unreachable!("granted") };
        assert_eq!(map(&users), "0 1000 1\n1 100000 65536\n65537 300000 10\n");
        assert_eq!(map(&groups), "0 1000 1\n1 200000 65536\n");
        let ids = choose(&owner());
        assert!(ids.has(0, 0) && ids.has(33, 33) && ids.has(65546, 65536));
        assert!(!ids.has(65547, 0) && !ids.has(0, 65537));
    }

    #[test]
    fn without_a_grant_there_is_one_id_and_the_reason_says_the_command() {
        let cases = [
            (
                Owner { subuid: "bob:1:2\n".to_owned(), ..owner() },
                "/etc/subuid grants none to ann: usermod --add-subuids",
            ),
            (Owner { subgid: String::new(), ..owner() }, "/etc/subgid grants none to ann"),
            (Owner { name: None, subuid: String::new(), ..owner() }, "grants none to 1000"),
            (Owner { has_newuidmap: false, ..owner() }, "apt-get install uidmap"),
            (Owner { subuid: "ann:4294967295:65536\n".to_owned(), ..owner() }, "grants none"),
        ];
        for (owner, reason) in cases {
            let ids = choose(&owner);
            let Ids::One { user: 1000, group: 1000, why } = &ids else { unreachable!("{ids:?}") };
            assert!(why.contains(reason), "{why}");
            assert!(ids.has(0, 0) && !ids.has(1, 1));
        }
    }

    #[test]
    fn root_keeps_all_ids_that_there_are() {
        let root = Owner { user: 0, uid_map: "0 1000 1\n 1 100000 65536\n".to_owned(), ..owner() };
        let Ids::Same { users, .. } = choose(&root) else { unreachable!("root's") };
        assert_eq!(map(&users), "0 0 1\n1 1 65536\n");
    }
}
