//! Machines without room, rights or programs, runs that are ended, and several at once.

use super::machine::{
    ARCHIVE, DOWNLOADERS, Machine, PAIRED, RELEASE, SHELLS, by_each, left, mirror, own_mirror, program, start,
};
use crate::driver::releases::{packed_with, tar};
use crate::driver::server::Wrong;
use crate::driver::{Ended, Somebody, mkdir, run};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use xz2::stream::{Check, Filters, LzmaOptions, Stream};
use xz2::write::XzEncoder;

#[test]
fn without_permission_nothing_is_installed_and_the_folder_is_named() {
    let (release, server) = mirror();
    let machine = Machine::usual();
    let somebody = Somebody::new();
    let theirs = somebody.home.path().join("closed");
    mkdir(&theirs);
    run("chmod", &["555", theirs.to_str().unwrap()]);
    let script = somebody.home.path().join("install.sh");
    fs::copy(&machine.script, &script).unwrap();
    let install = |prefix: &Path| {
        let mut command = somebody.command(&program("dash"));
        command.arg(&script).args(["--release", RELEASE, "--from", &server.url(), "--target", "arm64"]);
        command.args(["--host", "amd64", "--prefix"]).arg(prefix);
        Ended::of(&mut command)
    };
    install(&theirs).failed(1, &["cannot write to", "closed", "--prefix"]);
    install(&theirs.join("deeper")).failed(1, &["cannot make", "closed/deeper", "--prefix"]);
    assert_eq!(left(&theirs), Vec::<PathBuf>::new());

    let half = somebody.home.path().join("half");
    mkdir(&half.join("bin"));
    run("chmod", &["555", half.join("bin").to_str().unwrap()]);
    if crate::driver::is_root() {
        run("chown", &["nobody", half.to_str().unwrap()]);
    }
    install(&half).failed(1, &["cannot write", "half/bin/qemu-aarch64"]);
    assert_eq!(left(&half), Vec::<PathBuf>::new(), "texts of what is not there");
    let free = somebody.home.path().join("free");
    assert_eq!(install(&free).code, Some(0));
    assert!(fs::read(free.join("bin/qemu-aarch64")).unwrap() == release.emulator("aarch64", "amd64"));
    run("chmod", &["755", theirs.to_str().unwrap()]);
}

#[test]
fn a_full_disk_is_named_and_nothing_stays() {
    let (_release, server) = mirror();
    for (shell, downloader) in PAIRED {
        // Room for part of the archive; for the archive, but not for what is in it.
        for room in ["100k", "300k"] {
            let machine = Machine::new(shell, downloader);
            let mut install = machine.command(&server.url(), &["--target", "aarch64", "--host", "amd64"]);
            install.args(["--prefix", "small"]);
            let inside = "mount -t tmpfs -o size=\"$1\" none small; shift
                code=0; \"$@\" || code=$?; find small -type f -o -name '.*'; exit $code";
            mkdir(&machine.home.path().join("small"));
            let mut command = Command::new(program("unshare"));
            machine.settle(&mut command);
            let path = format!("{}:/usr/bin:/bin", machine.home.path().join("programs").display());
            command.args(["--user", "--map-root-user", "--mount"]).env("PATH", path);
            command
                .args(["sh", "-ec", inside, "sh", room])
                .arg(install.get_program())
                .args(install.get_args());
            let ended = Ended::of(&mut command);
            ended.failed(1, &["cannot write", "disk"]);
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn several_installs_at_once_do_not_harm_each_other() {
    for shell in SHELLS {
        let (release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        let pair = ["--target", "aarch64", "--host", "amd64"];
        let running: Vec<_> = (0..4).map(|_| start(&mut machine.command(&server.url(), &pair))).collect();
        for one in running {
            let ended = one.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        machine.has_installed(&machine.install(&server.url()), &release);
    }
}

#[test]
fn a_signal_ends_it_at_once_and_leaves_nothing() {
    by_each(|machine| {
        let (release, server) = mirror();
        for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
            server.mend();
            server.wrong(ARCHIVE, Wrong::Stall(50_000), 1);
            let pair = ["--target", "aarch64", "--host", "amd64"];
            let child = start(&mut machine.command(&server.url(), &pair));
            server.wait_for(ARCHIVE, 1);
            thread::sleep(Duration::from_millis(100));
            let since = Instant::now();
            run("kill", &["-s", signal, &child.id().to_string()]);
            let ended = child.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
            // Less than the 10 s after which it gives up by itself, and enough while others compile.
            assert!(since.elapsed() < Duration::from_secs(8), "{signal}: {:?}", since.elapsed());
            assert_eq!(left(&machine.prefix()), Vec::<PathBuf>::new(), "{signal}");
        }
        machine.has_installed(&machine.install(&server.url()), &release);
    });
}

#[test]
fn one_that_is_killed_outright_leaves_no_emulator_and_the_next_one_installs_it() {
    by_each(|machine| {
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Stall(50_000), 1);
        let pair = ["--target", "aarch64", "--host", "amd64"];
        let mut child = start(&mut machine.command(&server.url(), &pair));
        server.wait_for(ARCHIVE, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!machine.prefix().join("bin").exists() && !machine.prefix().join("share").exists());
        let work = left(&machine.prefix()).pop().unwrap();
        assert!(
            work.is_dir() && work.file_name().unwrap().to_str().unwrap().starts_with(".anyarch-install-")
        );

        assert_eq!(machine.install(&server.url()).code, Some(0));
        assert!(work.exists(), "it could be another machine's, at work");
        run("touch", &["-d", "2 days ago", work.to_str().unwrap()]);
        machine.has_installed(&machine.install(&server.url()), &release);
        assert!(!work.exists(), "a day later it is litter");
    });
}

#[test]
fn a_run_that_takes_days_is_no_litter_to_another() {
    by_each(|mut machine| {
        machine.environment.push(("ANYARCH_TIMEOUT".into(), "1".into()));
        let (release, server) = mirror();
        // Fast enough not to be given up.
        server.wrong(ARCHIVE, Wrong::Dribble(2_000, Duration::from_millis(50)), 1);
        let pair = ["--target", "aarch64", "--host", "amd64"];
        let slow = start(&mut machine.command(&server.url(), &pair));
        server.wait_for(ARCHIVE, 1);
        let work = left(&machine.prefix()).into_iter().find(|path| path.is_dir()).unwrap();
        run("touch", &["-d", "2 days ago", work.to_str().unwrap()]);
        thread::sleep(Duration::from_millis(2_500));
        let other = machine.install(&server.url());
        assert_eq!(other.code, Some(0), "{}", other.stderr);
        assert!(work.is_dir(), "somebody works there");
        let ended = slow.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        machine.has_installed(&machine.install(&server.url()), &release);
    });
}

#[test]
fn what_the_machine_lacks_is_named_with_the_command_that_gets_it() {
    let (release, server) = mirror();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["xz"], &["xz is missing", "apt-get install -y xz-utils"]),
        (&["curl"], &["curl or wget is missing", "apt-get install -y curl"]),
        (&["sha256sum"], &["SHA-256", "apt-get install -y coreutils"]),
        (&["tar"], &["tar is missing", "apt-get install -y tar"]),
    ];
    for (missing, said) in cases {
        let machine = Machine::usual();
        machine.has("apt-get", "exit 1");
        for name in missing {
            machine.lacks(name);
        }
        machine.has_nothing(&machine.install(&server.url()), 3, said);
    }
    for (manager, command) in
        [("apk", "apk add xz"), ("dnf", "dnf install -y xz"), ("pacman", "pacman -S xz")]
    {
        let machine = Machine::usual();
        machine.has(manager, "exit 1").lacks("xz");
        machine.has_nothing(&machine.install(&server.url()), 3, &[command]);
    }
    for other in ["shasum", "openssl"] {
        let machine = Machine::usual();
        machine.lacks("sha256sum").link(other, other);
        if other == "shasum" {
            machine.link("perl", "perl");
        }
        machine.has_installed(&machine.install(&server.url()), &release);
    }
}

#[test]
fn zstd_unpacks_where_xz_is_missing_and_the_release_has_its_archives() {
    let (_home, release, server) = own_mirror();
    let machine = Machine::usual();
    machine.lacks("xz").link("zstd", "zstd");
    machine.has_nothing(&machine.install(&server.url()), 3, &["xz is missing"]);
    let packed = zstd::encode_all(tar(&release.members("aarch64", "amd64")).as_slice(), 0).unwrap();
    fs::write(release.folder().join(ARCHIVE.replace(".xz", ".zst")), packed).unwrap();
    release.sum();
    machine.has_installed(&machine.install(&server.url()), &release);
    assert_eq!(server.asked(".tar.xz"), []);
    // The same emulator by way of the other archive is up to date as well.
    machine.link("xz", "xz");
    let ended = machine.install(&server.url());
    assert!(ended.stderr.contains("is up to date"), "{}", ended.stderr);
}

#[test]
fn an_archive_that_takes_too_much_memory_to_unpack_is_refused_as_such() {
    let (_home, release, server) = own_mirror();
    let right = tar(&release.members("aarch64", "amd64"));
    let folder = release.folder();
    let machine = Machine::usual();
    let said = ["needs more than 64MiB of memory to unpack", "so it is not an anyarch archive"];
    fs::write(folder.join(ARCHIVE), packed_with(192, &right)).unwrap();
    release.sum();
    machine.has_nothing(&machine.install(&server.url()), 1, &said);
    let older = Stream::new_lzma_encoder(&LzmaOptions::new_preset(1).unwrap()).unwrap();
    let mut packed = XzEncoder::new_stream(Vec::new(), older);
    packed.write_all(&right).unwrap();
    fs::write(folder.join(ARCHIVE), packed.finish().unwrap()).unwrap();
    release.sum();
    machine.has_nothing(&machine.install(&server.url()), 1, &["cannot unpack", "format not recognized"]);
    fs::write(folder.join(ARCHIVE), packed_with(48, &right)).unwrap();
    release.sum();
    machine.has_installed(&machine.install(&server.url()), &release);

    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.window_log(27).unwrap();
    packed.write_all(&right).unwrap();
    fs::write(folder.join(ARCHIVE.replace(".xz", ".zst")), packed.finish().unwrap()).unwrap();
    fs::remove_file(folder.join(ARCHIVE)).unwrap();
    release.sum();
    let machine = Machine::usual();
    machine.lacks("xz").link("zstd", "zstd");
    machine.has_nothing(&machine.install(&server.url()), 1, &said);
}

#[test]
fn a_small_xz_that_can_not_unpack_a_real_archive_says_what_to_get() {
    let (_home, release, server) = own_mirror();
    let mut filters = Filters::new();
    filters.x86().lzma2(&LzmaOptions::new_preset(6).unwrap());
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).unwrap();
    let mut packed = XzEncoder::new_stream(Vec::new(), stream);
    packed.write_all(&tar(&release.members("aarch64", "amd64"))).unwrap();
    fs::write(release.folder().join(ARCHIVE), packed.finish().unwrap()).unwrap();
    release.sum();
    let machine = Machine::new(SHELLS[1], DOWNLOADERS[2]);
    machine.has("apk", "exit 1");
    machine.has_nothing(
        &machine.install(&server.url()),
        3,
        &["this xz cannot unpack the archive", "apk add xz"],
    );
    machine.lacks("xz").link("xz", "xz");
    machine.has_installed(&machine.install(&server.url()), &release);
}
