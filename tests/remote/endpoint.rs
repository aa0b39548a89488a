//! Tests the locations of objects against `git lfs env`, and remotes other than servers: paths and ssh.

use std::fs;
use std::path::Path;

use git_st_convert::remote::{Config, Endpoint, Error, Object, Remotes, Settings};
use git_st_convert::repo::Repo;

use super::{World, everything};
use crate::hub::pointer;
use crate::sandbox::Sandbox;

/// Returns the endpoint of our code, for the configuration that `repo` reads.
fn ours(dir: &Path, remote: Option<&str>) -> Result<Endpoint, Error> {
    let repo = Repo::discover(dir).unwrap().unwrap();
    let config = Config::new(repo.settings());
    let lfsconfig = repo.lfsconfig().unwrap().map(Config::new);
    let (branch, fetch_head) = (repo.branch().unwrap(), repo.fetch_head());
    let remotes = Remotes {
        config: &config,
        lfsconfig: lfsconfig.as_ref(),
        branch: branch.as_deref(),
        fetch_head: fetch_head.as_deref(),
        work_dir: repo.work_dir(),
    };
    remotes.endpoint(remote)
}

/// Returns the endpoint of git-lfs: `Endpoint=` for the remote `origin`, else the line of the remote that `ours` uses.
fn theirs(sandbox: &Sandbox, dir: &Path, remote: Option<&str>) -> String {
    let env = sandbox.git(dir, &["lfs", "env"]);
    let of = |name: &str| {
        let line = env.lines().find_map(|line| line.strip_prefix(name));
        line.map(|line| line.split(" (auth=").next().unwrap().to_owned())
    };
    let config = Config::new(Repo::discover(dir).unwrap().unwrap().settings());
    let remotes =
        Remotes { config: &config, lfsconfig: None, branch: Some("main"), fetch_head: None, work_dir: dir };
    let name = remote.map_or_else(|| remotes.default_remote(), str::to_owned);
    assert!(remote.is_some() || (of("Endpoint=").is_some() == (name == "origin")), "{name}: {env}");
    let found = if name == "origin" { of("Endpoint=") } else { of(&format!("Endpoint ({name})=")) };
    found.unwrap_or_else(|| panic!("{env}"))
}

/// A configuration, a `.lfsconfig`, and a remote.
struct Case {
    name: &'static str,
    config: &'static [(&'static str, &'static str)],
    lfsconfig: &'static [(&'static str, &'static str)],
}

const ORIGIN: (&str, &str) = ("remote.origin.url", "https://o.example/team/model");

const CASES: &[Case] = &[
    Case { name: "the remote's address", config: &[ORIGIN], lfsconfig: &[] },
    Case { name: "with .git", config: &[("remote.origin.url", "https://o.example/m.git")], lfsconfig: &[] },
    Case { name: "with a slash", config: &[("remote.origin.url", "https://o.example/m/")], lfsconfig: &[] },
    Case { name: "with a port", config: &[("remote.origin.url", "http://o.example:8080/m")], lfsconfig: &[] },
    Case { name: "the only remote", config: &[("remote.up.url", "https://u.example/m")], lfsconfig: &[] },
    Case { name: "two remotes", config: &[ORIGIN, ("remote.up.url", "https://u.example/m")], lfsconfig: &[] },
    Case {
        name: "the branch's remote",
        config: &[ORIGIN, ("remote.up.url", "https://u.example/m"), ("branch.main.remote", "up")],
        lfsconfig: &[],
    },
    Case {
        name: "the default remote",
        config: &[ORIGIN, ("remote.up.url", "https://u.example/m"), ("remote.lfsdefault", "up")],
        lfsconfig: &[],
    },
    Case {
        name: "the remote's lfsurl",
        config: &[ORIGIN, ("remote.origin.lfsurl", "https://l.example/x")],
        lfsconfig: &[],
    },
    Case {
        name: "lfs.url",
        config: &[
            ORIGIN,
            ("remote.origin.lfsurl", "https://l.example/x"),
            ("lfs.url", "https://a.example/y"),
        ],
        lfsconfig: &[],
    },
    Case { name: ".lfsconfig", config: &[ORIGIN], lfsconfig: &[("lfs.url", "https://c.example/z")] },
    Case {
        name: ".lfsconfig before the remote's lfsurl",
        config: &[ORIGIN, ("remote.origin.lfsurl", "https://l.example/x")],
        lfsconfig: &[("lfs.url", "https://c.example/z")],
    },
    Case {
        name: "git's configuration before .lfsconfig",
        config: &[ORIGIN, ("lfs.url", "https://a.example/y")],
        lfsconfig: &[("lfs.url", "https://c.example/z")],
    },
    Case {
        name: ".lfsconfig's lfsurl",
        config: &[ORIGIN],
        lfsconfig: &[("remote.origin.lfsurl", "https://c.example/r")],
    },
    Case {
        name: "an alias",
        config: &[("remote.origin.url", "hub:team/m"), ("url.https://hub.example/.insteadOf", "hub:")],
        lfsconfig: &[],
    },
    Case {
        name: "the longer alias",
        config: &[
            ("remote.origin.url", "hub:team/m"),
            ("url.https://hub.example/.insteadOf", "hub:"),
            ("url.https://team.example/.insteadOf", "hub:team/"),
        ],
        lfsconfig: &[],
    },
    Case { name: "scp", config: &[("remote.origin.url", "git@s.example:team/m")], lfsconfig: &[] },
    Case {
        name: "scp with .git",
        config: &[("remote.origin.url", "git@s.example:team/m.git")],
        lfsconfig: &[],
    },
    Case {
        name: "scp with a port",
        config: &[("remote.origin.url", "[git@s.example:22]:m")],
        lfsconfig: &[],
    },
    Case { name: "ssh", config: &[("remote.origin.url", "ssh://git@s.example:2222/team/m")], lfsconfig: &[] },
    Case { name: "git+ssh", config: &[("remote.origin.url", "git+ssh://s.example/team/m")], lfsconfig: &[] },
    Case { name: "git", config: &[("remote.origin.url", "git://g.example/m")], lfsconfig: &[] },
    Case {
        name: "git by http",
        config: &[("remote.origin.url", "git://g.example/m"), ("lfs.gitprotocol", "http")],
        lfsconfig: &[],
    },
    Case { name: "ssh in lfs.url", config: &[ORIGIN, ("lfs.url", "ssh://git@s.example/m")], lfsconfig: &[] },
];

#[test]
fn git_lfs_finds_the_same_endpoint() {
    let sandbox = Sandbox::new();
    if !sandbox.git_lfs_available() {
        return;
    }
    for (number, case) in CASES.iter().enumerate() {
        let dir = sandbox.repo(&format!("case{number}"));
        for (key, value) in case.config {
            sandbox.git(&dir, &["config", "--add", key, value]);
        }
        for (key, value) in case.lfsconfig {
            sandbox.git(&dir, &["config", "--file", ".lfsconfig", key, value]);
        }
        let found = ours(&dir, None).unwrap_or_else(|err| panic!("{}: {err}", case.name));
        assert_eq!(found.to_string(), theirs(&sandbox, &dir, None), "{}", case.name);
        if case.name == "two remotes" {
            let up = ours(&dir, Some("up")).unwrap().to_string();
            assert_eq!(up, theirs(&sandbox, &dir, Some("up")));
        }
        if !case.lfsconfig.is_empty() {
            // The file in the index, and the one in `HEAD`, also count.
            sandbox.git(&dir, &["add", ".lfsconfig"]);
            fs::remove_file(dir.join(".lfsconfig")).unwrap();
            assert_eq!(
                ours(&dir, None).unwrap().to_string(),
                theirs(&sandbox, &dir, None),
                "{} staged",
                case.name
            );
            sandbox.git(&dir, &["commit", "-q", "-m", "two"]);
            sandbox.git(&dir, &["rm", "-q", "--cached", ".lfsconfig"]);
            assert_eq!(
                ours(&dir, None).unwrap().to_string(),
                theirs(&sandbox, &dir, None),
                "{} committed",
                case.name
            );
        }
    }
}

#[test]
fn settings_are_those_that_git_lists() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    let included = sandbox.path("included");
    fs::write(
        &included,
        "[http \"https://h.example\"]\n\textraHeader = A: 1\n\textraHeader = B: 2\n\tsslVerify\n",
    )
    .unwrap();
    sandbox.git(&dir, &["config", "include.path", included.to_str().unwrap()]);
    sandbox.git(&dir, &["config", "--add", "http.extraHeader", "C: 3"]);
    sandbox.git(&dir, &["config", "--add", "http.extraHeader", ""]);
    sandbox.git(&dir, &["config", "url.https://H.example/.insteadOf", "h:"]);
    let listed =
        sandbox.command("git".as_ref(), &dir, &["config".as_ref(), "--list".as_ref(), "--null".as_ref()]);
    let listed = Config::from_list(&{ listed }.output().unwrap().stdout);
    let ours = Config::new(Repo::discover(&dir).unwrap().unwrap().settings());
    for key in [
        "http.extraHeader",
        "http.https://h.example.extraHeader",
        "http.https://h.example.sslVerify",
        "url.https://H.example/.insteadOf",
        "core.bare",
    ] {
        let (a, b): (Vec<_>, Vec<_>) = (ours.all(key).collect(), listed.all(key).collect());
        assert!(!a.is_empty() && a == b, "{key}: {a:?} {b:?}");
    }
}

#[test]
fn a_repository_s_file_that_is_a_link_or_too_long_is_not_read() {
    let sandbox = Sandbox::new();
    let dir = sandbox.repo("repo");
    sandbox.git(&dir, &["config", "remote.origin.url", "https://o.example/m"]);
    let secret = sandbox.path("secret");
    fs::write(&secret, "[lfs]\n\turl = https://evil.example\n").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, dir.join(".lfsconfig")).unwrap();
        assert_eq!(ours(&dir, None).unwrap().to_string(), "https://o.example/m.git/info/lfs");
        fs::remove_file(dir.join(".lfsconfig")).unwrap();
    }
    fs::write(dir.join(".lfsconfig"), "#".repeat(100_000)).unwrap();
    assert!(Repo::discover(&dir).unwrap().unwrap().lfsconfig().is_err());
    fs::write(dir.join(".lfsconfig"), "[include]\n\tpath = ../secret\n").unwrap();
    assert_eq!(ours(&dir, None).unwrap().to_string(), "https://o.example/m.git/info/lfs");
}

#[test]
fn objects_of_a_repository_on_this_machine_are_read_from_its_store() {
    let world = World::new();
    let there = world.sandbox.repo("there");
    let bare = world.sandbox.path("bare.git");
    world.sandbox.git(&world.repo, &["init", "-q", "--bare", bare.to_str().unwrap()]);
    let put = |lfs: &Path| {
        let oid = world.oid();
        let dir = lfs.join("objects").join(&oid[..2]).join(&oid[2..4]);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(&oid), &world.content).unwrap();
    };
    put(&there.join(".git/lfs"));
    world.sandbox.git(&bare, &["config", "lfs.storage", "elsewhere"]);
    put(&bare.join("elsewhere"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let file = format!("file://{}", path(&bare));
    for remote in
        [path(&there), path(&there.join(".git")), path(&bare), file, path(&world.sandbox.path("bare"))]
    {
        let settings =
            Settings { config: Config::new([("remote.origin.url", remote.as_str())]), ..Settings::default() };
        assert_eq!(world.stream(settings.clone()).unwrap(), world.content, "{remote}");
        let _absent = fs::remove_dir_all(world.sandbox.path("lfs"));
        assert_eq!(fs::read(world.download(settings.clone()).unwrap()).unwrap(), world.content, "{remote}");
        let ranged = world.ask(settings, &[], |server, _| {
            let object = Object::new(server, world.pointer);
            let ranged = object.ranged().unwrap().unwrap();
            git_st_convert::read_at::ReadAt::read_vec_at(&ranged, 1000, 10).unwrap()
        });
        assert_eq!(ranged.unwrap(), world.content[1000..1010]);
    }
    fs::remove_dir_all(bare.join("elsewhere")).unwrap();
    let settings =
        Settings { config: Config::new([("remote.origin.url", path(&bare))]), ..Settings::default() };
    assert!(matches!(world.stream(settings), Err(Error::NotThere { .. })));
    let nowhere = path(&world.sandbox.path("nowhere"));
    let settings = Settings { config: Config::new([("remote.origin.url", nowhere)]), ..Settings::default() };
    assert!(matches!(world.stream(settings), Err(Error::RemoteGone { .. })));
    assert!(world.hub.requests().is_empty());
}

/// Creates a stand-in for ssh: it logs its arguments, and responds as `git-lfs-authenticate` does.
#[cfg(unix)]
fn ssh(world: &World, answer: &str, status: u8) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let (script, log) = (world.sandbox.path("ssh.sh"), world.sandbox.path("ssh.log"));
    let text = format!(
        "#!/bin/sh\nfor arg in \"$@\"; do printf '%s\\n' \"$arg\" >>'{}'; done\ncat <<'END'\n{answer}\nEND\nexit {status}\n",
        log.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    world.sandbox.git(&world.repo, &["config", "core.sshCommand", script.to_str().unwrap()]);
    script.to_str().unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn a_server_that_is_reached_by_ssh_says_where_its_objects_are() {
    let world = World::new();
    world.hub.set_access(super::ID, crate::hub::Access::Private);
    let remote = [("remote.origin.url", "git@hub.example:acme/bert.git")];
    let header = format!("{{\"Authorization\": \"Bearer {}\"}}", super::TOKEN);
    let href = format!("{}.git/info/lfs", world.hub.url(super::ID));
    let answer = format!("{{\"href\": \"{href}\", \"header\": {header}, \"expires_in\": 600}}");
    ssh(&world, &answer, 0);
    assert_eq!(world.stream(world.settings(&remote)).unwrap(), world.content);
    let told = fs::read_to_string(world.sandbox.path("ssh.log")).unwrap();
    // As git-lfs does, the program first requests the server of objects over ssh.
    let asked = |command: &str| format!("--\ngit@hub.example\n{command} acme/bert.git download\n");
    assert_eq!(told, asked("git-lfs-transfer") + &asked("git-lfs-authenticate"));
    let seen = world.hub.requests();
    assert!(seen.iter().any(|seen| seen.path().ends_with("batch") && seen.carries(super::TOKEN)));
    assert!(seen.iter().all(|seen| !seen.path().starts_with("/content/") || !seen.carries(super::TOKEN)));
    let lines = world.lines.lock().unwrap().join("\n");
    assert!(lines.contains("ssh -- git@hub.example") && !lines.contains(super::TOKEN), "{lines}");
}

#[cfg(unix)]
#[test]
fn ssh_that_fails_is_an_error_and_one_without_the_command_is_not() {
    let world = World::new();
    ssh(&world, "", 1);
    let remote = [("remote.origin.url", "ssh://git@127.0.0.1:2222/acme/bert")];
    let err = world.stream(world.settings(&remote)).unwrap_err();
    assert!(matches!(err, Error::Git(git_st_convert::git::Error::Failed { .. })), "{err}");
    let told = fs::read_to_string(world.sandbox.path("ssh.log")).unwrap();
    let asked = |command: &str| format!("-p\n2222\n--\ngit@127.0.0.1\n{command} /acme/bert download\n");
    assert_eq!(told, asked("git-lfs-transfer") + &asked("git-lfs-authenticate"));
    ssh(&world, "", 127);
    // Then the usual URL is used, where no server listens.
    let err = world.stream(world.settings(&remote)).unwrap_err();
    assert!(matches!(err, Error::Connect { .. } | Error::Tls { .. }), "{}", everything(&err));
    ssh(&world, "not json", 0);
    assert!(matches!(world.stream(world.settings(&remote)), Err(Error::BadAnswer { .. })));
    for href in ["file:///etc/passwd", "http://u:p@127.0.0.1/"] {
        ssh(&world, &format!("{{\"href\": \"{href}\"}}"), 0);
        assert!(matches!(world.stream(world.settings(&remote)), Err(Error::NotAllowed { .. })), "{href}");
    }
}

#[cfg(unix)]
#[test]
fn git_lfs_runs_ssh_with_the_same_words() {
    let world = World::new();
    if !world.sandbox.git_lfs_available() {
        return;
    }
    let href = format!("{}.git/info/lfs", world.hub.url(super::ID));
    let script = ssh(&world, &format!("{{\"href\": \"{href}\"}}"), 0);
    let settings = [("remote.origin.url", "ssh://git@hub.example:2222/acme/bert")];
    world.stream(world.settings(&settings)).unwrap();
    let log = world.sandbox.path("ssh.log");
    let ours = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    world.sandbox.git(&world.repo, &["config", "remote.origin.url", "ssh://git@hub.example:2222/acme/bert"]);
    world.sandbox.git(&world.repo, &["config", "lfs.sshtransfer", "never"]);
    fs::write(world.repo.join("m.bin"), pointer(&world.oid(), world.pointer.size)).unwrap();
    fs::write(world.repo.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    world
        .sandbox
        .git(&world.repo, &["-c", "filter.lfs.clean=", "-c", "filter.lfs.required=false", "add", "."]);
    world.sandbox.git(&world.repo, &["commit", "-q", "-m", "two"]);
    world.sandbox.git(&world.repo, &["lfs", "fetch"]);
    let theirs = fs::read_to_string(&log).unwrap();
    let words = |log: &str| {
        let mut words: Vec<String> = log.lines().filter(|word| *word != "--").map(str::to_owned).collect();
        words.dedup();
        words
    };
    // Before that, git-lfs requests the pure ssh protocol.
    assert!(words(&theirs).ends_with(&words(&ours)), "{script}: {theirs}");
}
