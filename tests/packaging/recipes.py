#!/usr/bin/env python3
"""Check the files that other programs run, against their schemas and by running them: the GitHub Action, the GitLab component, the
archives and the formula of a release.

A step of the Action is a script with an environment, so it runs here as on GitHub; steps that use other actions (the upload of the
findings) are skipped. pip takes the wheel from a local directory.

With: check-jsonschema, pre-commit and their YAML in this Python; bash, git. ruby, if it is installed.
How: python tests/packaging/recipes.py --wheel FILE
"""

import argparse
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / ".packaging"))
ready, tarball, formula = (importlib.import_module(name) for name in ("ready", "tarball", "formula"))
ACTION, WORKFLOW = ROOT / ".github/actions/guard/action.yml", ROOT / ".github/workflows/release.yml"
COMPONENT = ROOT / "docs/ci/gitlab-component.yml"
CHECKPOINT = ROOT / "src/actions/demo/pytorch_model.bin"


def run(command, expect=0, **options):
    """Runs a program and returns its output; an unexpected exit status ends the tests."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options)
    assert done.returncode == expect, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def component():
    """Returns the jobs of the component, with each input replaced by its default, as GitLab does."""
    head, body = COMPONENT.read_text().split("\n---\n")
    inputs = yaml.safe_load(head)["spec"]["inputs"]
    return re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: json.dumps(inputs[match[1]]["default"]), body)


def check_schemas(place):
    jobs = place / "gitlab-ci.yml"
    jobs.write_text(component())
    for schema, *given in [("github-workflows", WORKFLOW), ("github-actions", ACTION), ("gitlab-ci", "--data-transform", "gitlab-ci", jobs)]:
        run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *given])
    run([sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"])


class Repository:
    """A repository with a branch that adds a pickle, and a branch that adds none."""

    def __init__(self, place):
        self.place, self.directory, self.is_installed = place, place / "model", False
        (place / ".gitconfig").write_text("[user]\n\tname = A Person\n\temail = a@example.com\n[init]\n\tdefaultBranch = main\n")
        self.environment = {"HOME": str(place), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        self.git("init", "-q", self.directory, cwd=place)
        self.base = self.commit("README.md", b"a model\n")
        self.clean = self.commit("config.json", b"{}\n")
        self.pickle = self.commit("weights.dat", CHECKPOINT.read_bytes())

    def git(self, *arguments, cwd=None):
        return run(["git", *arguments], env=self.environment, cwd=cwd or self.directory).strip()

    def commit(self, name, content):
        (self.directory / name).write_bytes(content)
        self.git("add", name)
        self.git("commit", "-q", "-m", name)
        return self.git("rev-parse", "HEAD")


def act(repository, directory, values):
    """Runs the scripts of the Action in order, like GitHub's runner. Returns their messages, their outputs and the exit status."""
    files = {name: repository.place / name.lower() for name in ("GITHUB_PATH", "GITHUB_OUTPUT")}
    outputs, said, status = {}, "", 0
    action = yaml.safe_load(ACTION.read_text())
    known = {f"inputs.{name}": one["default"] for name, one in action["inputs"].items()}
    known |= {"runner.temp": str(repository.place), **values}
    scripts = [step for step in action["runs"]["steps"] if "run" in step]
    # The first script creates an environment, which takes seconds and is the same in every case, so it runs only once.
    for step in scripts[1:] if repository.is_installed else scripts:
        for file in files.values():
            file.write_text("")
        value = lambda match: known.get(match[1], "")
        env = {name: re.sub(r"\$\{\{ ([\w.]+) \}\}", value, text) for name, text in step.get("env", {}).items()}
        env |= repository.environment | {name: str(file) for name, file in files.items()}
        script = repository.place / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=directory, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        said, status = said + done.stdout, done.returncode
        added = files["GITHUB_PATH"].read_text().split("\n")[:-1]
        repository.environment["PATH"] = os.pathsep.join([*added, repository.environment["PATH"]])
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        known |= {f"steps.{step.get('id')}.outputs.{name}": text for name, text in outputs.items()}
        if status != 0:
            break
    repository.is_installed = True
    return said, status, known


def found(sarif):
    """Returns the paths of the files in a SARIF report."""
    report = json.loads(pathlib.Path(sarif).read_text())
    results = (result for each in report["runs"] for result in each["results"])
    return {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results}


def check_action(place):
    repository = Repository(place)
    pull_request = "github.event.pull_request"
    zeros = "0" * 40
    cases = [
        ({f"{pull_request}.base.sha": repository.base, f"{pull_request}.head.sha": repository.clean}, 0, set()),
        ({f"{pull_request}.base.sha": repository.base, f"{pull_request}.head.sha": repository.pickle}, 1, {"weights.dat"}),
        ({"github.event.before": repository.clean}, 1, {"weights.dat"}),
        ({"github.event.before": zeros}, 1, {"weights.dat"}),
        ({}, 1, {"weights.dat"}),
        ({"inputs.range": f"{repository.base}..{repository.clean}"}, 0, set()),
        ({"inputs.range": "no-such-revision..HEAD"}, 2, None),
    ]
    for values, expected, files in cases:
        said, status, known = act(repository, repository.directory, values)
        assert status == expected, (values, status, said)
        assert known["steps.scan.outputs.status"] == str(expected), (values, known)
        if files is not None:
            assert found(known["steps.scan.outputs.sarif"]) == files, (values, said)
        assert ("weights.dat" in said) == bool(files), (values, said)
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.directory}", "shallow", cwd=place)
    said, status, _ = act(repository, place / "shallow", {"github.event.before": repository.clean})
    assert status == 2 and "fetch-depth: 0" in said, said


def check_component(place):
    repository = Repository(place)
    (job,) = (job for job in yaml.safe_load(component()).values())
    script = place / "job.sh"
    before = ["set -eo pipefail", *job["before_script"]]
    variables = {name: str(value) for name, value in job["variables"].items()} | {"CI_BUILDS_DIR": str(place)}
    zeros = {"CI_COMMIT_BEFORE_SHA": "0" * 40}
    cases = [
        (repository.clean, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": repository.base, **zeros}, 0, set()),
        (repository.pickle, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": repository.base, **zeros}, 1, {"weights.dat"}),
        (repository.pickle, {"CI_COMMIT_BEFORE_SHA": repository.clean}, 1, {"weights.dat"}),
        (repository.pickle, zeros, 1, {"weights.dat"}),
        (repository.clean, {}, 0, set()),
    ]
    for commit, given, expected, files in cases:
        repository.git("checkout", "-q", commit)
        script.write_text("\n".join([*before, *job["script"]]))
        # The environment is created only once, as above; later, the script only changes `PATH`.
        before = ["set -eo pipefail", *(line for line in job["before_script"] if line.startswith("export "))]
        said = run(["bash", script], expect=expected, cwd=repository.directory, env={**repository.environment, **variables, **given})
        assert found(repository.directory / "pickles.sarif") == files, said
        assert ("weights.dat" in said) == bool(files), said
        (repository.directory / "pickles.sarif").unlink()


def check_archives(wheel, place):
    """Checks that each target of the workflow has its archive at the URL that `cargo binstall` and the formula use."""
    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["wheels"]["strategy"]["matrix"]["include"]
    binstall = (ROOT / "Cargo.toml").read_text().split("[package.metadata.binstall]")[1]
    version = wheel.name.split("-")[1]
    sums = ""
    light = place / wheel.name
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(light, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, b"" if "/scripts/" in name else archive.read(name))
    for target in (one["target"] for one in matrix):
        # One archive with the program is enough; the others contain an empty file in its place, to save time.
        path = tarball.pack(wheel if target == "x86_64-unknown-linux-gnu" else light, target, place)
        archive = "zip" if "windows" in target else "tar.gz"
        names = {"{ name }": "git-st-convert", "{ version }": version, "{ target }": target, "{ archive-suffix }": f".{archive}"}
        url = re.search(r'^pkg-url = "(.+)"$', binstall, re.MULTILINE)[1]
        program = re.search(r'^bin-dir = "(.+)"$', binstall, re.MULTILINE)[1].replace("{ bin }{ binary-ext }", "git-st-convert")
        for name, text in names.items():
            url, program = url.replace(name, text), program.replace(name, text)
        assert url == f"{{ repo }}/releases/download/v{version}/{path.name}", url
        members = set(zipfile.ZipFile(path).namelist()) if archive == "zip" else set(tarfile.open(path).getnames())
        top = f"git-st-convert-{version}-{target}"
        shared = {"share/man/man1/git-st-convert.1", *(f"share/{name}" for name in importlib.import_module("pages").COMPLETIONS.values())}
        assert members >= {program, *(f"{top}/{name}" for name in shared | {"README.md", "LICENSE-MIT"})}, members
        sums += f"{len(sums):064x}  {path.name}\n"
    path = place / f"git-st-convert-{version}-x86_64-unknown-linux-gnu.tar.gz"
    shutil.unpack_archive(path, place)
    assert version in run([place / path.name.removesuffix(".tar.gz") / "bin/git-st-convert", "-V"])
    text = formula.formula(version, "https://example.com/git-st-convert", sums)
    assert not re.search("@[A-Z]", text), text
    assert set(re.findall(r'sha256 "([0-9a-f]{64})"', text)) <= set(re.findall(r"^\w{64}", sums, re.MULTILINE))
    if shutil.which("ruby"):
        (place / "git-st-convert.rb").write_text(text)
        run(["ruby", "-c", place / "git-st-convert.rb"])
    else:
        print("left out: ruby is not here")


def check_ready(place):
    """Checks each reason for which a tag is not released."""
    cargo, changelog = place / "Cargo.toml", place / "docs/changelog.md"
    changelog.parent.mkdir()
    for repository, version, heading, tag, undone in [
        ('repository = "https://example.com/x"\n', "1.2.3", "## 1.2.3 — 2026-01-02", "v1.2.3", 0),
        ("", "1.2.3", "## 1.2.3 — 2026-01-02", "v1.2.3", 1),
        ('repository = "https://example.com/x"\n', "1.2.3", "## 1.2.3 — unreleased", "v1.2.3", 1),
        ('repository = "https://example.com/x"\n', "1.2.4", "## 1.2.4 — 2026-01-02", "v1.2.3", 1),
    ]:
        cargo.write_text(f'[package]\nversion = "{version}"\n{repository}')
        changelog.write_text(f"# Changelog\n\n{heading}\n")
        assert len(ready.missing(tag, place)) == undone, (version, heading, tag)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=pathlib.Path, required=True)
    wheel = parser.parse_args().wheel.resolve()
    os.environ["PIP_FIND_LINKS"] = f"{os.environ.get('PIP_FIND_LINKS', '')} {wheel.parent}".strip()
    for check in (check_schemas, check_action, check_component, lambda place: check_archives(wheel, place), check_ready):
        with tempfile.TemporaryDirectory(prefix="st-convert-recipes-") as name:
            check(pathlib.Path(name))
    print("the recipes are as they should be")


if __name__ == "__main__":
    main()
