"""Measures the program by size, number of tensors, shards and jobs, next to tools that do parts of its work, and draws the plots of
docs/performance.md. The rows of a table run in turn, round by round; each row shows the median, the minimum and the maximum.

    python3 benches/scale.py --bin target/release/git-st-convert --dir /some/disk plain
    python3 benches/scale.py --bin … --dir … --plots docs/plots sizes tensors jobs shards

It needs a Python with torch; safetensors and picklescan add rows. `large` needs 50 GB of disk space. `--smoke` uses a few megabytes
and one round.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

import torch

GIGABYTE = 1_000_000_000


class Peak(threading.Thread):
    """Samples the peak memory of a process. `ru_maxrss` would include the memory of this Python, which forks the process."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.status, self.mebibytes = pathlib.Path(f"/proc/{process}/status"), 0
        self.start()

    def run(self):
        try:
            while True:
                fields = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
                self.mebibytes = max(self.mebibytes, int(fields["VmHWM"].split()[0]) / 1024)
                time.sleep(0.002)
        except (OSError, KeyError):
            pass


class Rows:
    """The runs of each row of a table."""

    def __init__(self):
        self.walls, self.peaks, self.busy = {}, {}, {}

    def run(self, name, command, cwd, env=None, fine=0):
        """Runs a program to its end, and records its wall time, its processor time and its peak memory."""
        start = time.monotonic()
        child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        peak = Peak(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        peak.join()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, fine):
            sys.exit(f"{command}: exit status {child.returncode}")
        self.walls.setdefault(name, []).append(wall)
        self.peaks[name] = max(self.peaks.get(name, 0), peak.mebibytes)
        self.busy.setdefault(name, []).append(usage.ru_utime + usage.ru_stime)

    def print(self, title, yardstick):
        print(f"\n{title}\n\n| what | wall s (least to most) | times {yardstick} | processor s | peak MiB |")
        print("|---|---|---|---|---|")
        pairs = lambda name: [one / other for one, other in zip(self.walls[name], self.walls[yardstick])]
        for name, walls in self.walls.items():
            spread = f"{statistics.median(walls):.3f} ({min(walls):.3f} to {max(walls):.3f})"
            ratio = statistics.median(pairs(name))
            busy = statistics.median(self.busy[name])
            print(f"| {name} | {spread} | {ratio:.2f} | {busy:.3f} | {self.peaks[name]:.0f} |", flush=True)

    def median(self, name):
        return statistics.median(self.walls[name])


def checkpoint(path, tensors, size):
    """Writes a checkpoint of `tensors` float32 tensors with `size` bytes in total, by torch.save; returns the file's size."""
    each = max(size // tensors // 4, 1)
    values = torch.randn(each * min(tensors, 64) + tensors)
    state = {f"layer.{n}.weight": values[n : n + each].clone() for n in range(tensors)}
    torch.save(state, path)
    return path.stat().st_size


class Bench:
    def __init__(self, args):
        self.bin = str(pathlib.Path(args.bin).resolve())
        self.dir = pathlib.Path(args.dir).resolve() / f"st-convert-scale-{os.getpid()}"
        self.rounds, self.smoke = (1, True) if args.smoke else (args.rounds, False)
        self.found = {}

    def size(self, gigabytes):
        return int(gigabytes * GIGABYTE / (500 if self.smoke else 1))

    def has(self, program):
        return shutil.which(program) is not None

    def git(self, *args, cwd):
        subprocess.run(["git", *args], cwd=cwd, env=self.env(), check=True, stdout=subprocess.DEVNULL)

    def env(self):
        """Returns an environment without the user's git configuration."""
        own = {"HOME": str(self.dir), "XDG_CONFIG_HOME": str(self.dir), "GIT_CONFIG_NOSYSTEM": "1"}
        who = {f"GIT_{of}_{what}": "bench@example.com" for of in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**os.environ, **own, **who, "GIT_CONFIG_GLOBAL": os.devnull}

    def plain(self):
        """Measures a file outside git, next to cp, openssl, and torch with safetensors."""
        source, output = self.dir / "in.bin", self.dir / "out.safetensors"
        size = checkpoint(source, 400, self.size(1.345))
        rows = Rows()
        ours = [self.bin, "-q", "--no-progress", "in.bin", "-o", output.name]
        python = "import sys, torch; from safetensors.torch import save_file; \
            save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2], metadata={'format': 'pt'})"
        for _ in range(self.rounds):
            for name, command in [
                ("cp", ["cp", source, output]),
                ("git st-convert -o", ours),
                ("git st-convert -o --sha256", [*ours, "--sha256"]),
                ("openssl dgst -sha256", self.has("openssl") and ["openssl", "dgst", "-sha256", source]),
                ("load + save_file", has_safetensors() and [sys.executable, "-c", python, source, output]),
            ]:
                if command:
                    rows.run(name, command, self.dir)
                    output.unlink(missing_ok=True)
        rows.print(f"a plain file, {size / 1e6:.0f} MB in 400 tensors", "cp")

    def model(self, shards, tensors, size):
        """Creates a repository with LFS pointers and their objects: one checkpoint, or the shards of a sharded one."""
        repo = self.dir / "model"
        objects = repo / ".git/lfs/objects"
        self.git("init", "-q", "-b", "main", str(repo), cwd=self.dir)
        attributes = [f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("bin", "safetensors")]
        (repo / ".gitattributes").write_text("".join(attributes))
        names = [f"pytorch_model-{n:05}-of-{shards:05}.bin" for n in range(1, shards + 1)]
        names = names if shards > 1 else ["pytorch_model.bin"]
        weights, total = {}, 0
        for number, name in enumerate(names):
            each = tensors // shards
            made = self.dir / "made"
            values = torch.randn(max(size // shards // each // 4, 1))
            state = {f"layer.{number * each + n}.weight": values + n for n in range(each)}
            torch.save(state, made)
            weights |= dict.fromkeys(state, name)
            total += sum(one.numel() * 4 for one in state.values())
            oid = subprocess.run(["sha256sum", made], check=True, capture_output=True, text=True).stdout[:64]
            at = objects / oid[:2] / oid[2:4]
            at.mkdir(parents=True, exist_ok=True)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {made.stat().st_size}\n"
            made.rename(at / oid)
            (repo / name).write_text(pointer)
        if shards > 1:
            index = {"metadata": {"total_size": total}, "weight_map": weights}
            (repo / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        self.git("add", ".", cwd=repo)
        self.git("commit", "-q", "-m", "model", cwd=repo)
        self.kept = {path for path in objects.rglob("*") if path.is_file()}
        return repo

    def reset(self, repo):
        """Removes the results of a conversion."""
        for path in [*repo.glob("*.safetensors"), *repo.glob("*.safetensors.index.json")]:
            path.unlink()
        for path in (repo / ".git/lfs/objects").rglob("*"):
            if path.is_file() and path not in self.kept:
                path.unlink()
        shutil.rmtree(repo / ".git/st-convert", ignore_errors=True)
        self.git("read-tree", "HEAD", cwd=repo)

    def convert(self, rows, name, repo, *args):
        rows.run(name, [self.bin, "-q", "--no-progress", *args], repo, self.env())
        self.reset(repo)

    def series(self, title, what, values, run):
        """Measures each value in turn, prints a table, and returns (value, minimum, median, maximum) of the wall time."""
        points = []
        print(f"\n{title}\n\n| {what} | wall s (least to most) | processor s | peak MiB |\n|---|---|---|---|")
        for value in values:
            rows = Rows()
            run(rows, value)
            walls = rows.walls["ours"]
            points.append([value, min(walls), statistics.median(walls), max(walls)])
            spread = f"{rows.median('ours'):.2f} ({min(walls):.2f} to {max(walls):.2f})"
            busy = statistics.median(rows.busy["ours"])
            print(f"| {value:,} | {spread} | {busy:.2f} | {rows.peaks['ours']:.0f} |", flush=True)
        return points

    def repeated(self, rows, shards, tensors, size, *args):
        repo = self.model(shards, tensors, size)
        for _ in range(self.rounds):
            self.convert(rows, "ours", repo, *args)
        shutil.rmtree(repo)

    def converted(self, size):
        """Creates a repository whose checkpoint is converted and committed."""
        repo = self.model(1, 400, size)
        for args in (["git", "lfs", "install", "--local"], ["git", "lfs", "checkout"], [self.bin, "-q", "--commit"]):
            subprocess.run(args, cwd=repo, env=self.env(), check=True, stdout=subprocess.DEVNULL)
        return repo

    def verify(self):
        """Measures the verification of a committed conversion, next to hashing both files."""
        rows, repo = Rows(), self.converted(self.size(1.345))
        files = [repo / "pytorch_model.bin", repo / "model.safetensors"]
        for file in files:  # Both files are in the page cache for every command.
            file.read_bytes()
        for _ in range(self.rounds):
            for name, command in [
                ("openssl dgst -sha256, both files at once", ["sh", "-c", 'openssl dgst -sha256 "$1" & openssl dgst -sha256 "$2"; wait', "sh", *files]),
                ("openssl dgst -sha256, the checkpoint", ["openssl", "dgst", "-sha256", files[0]]),
                ("git st-convert verify", [self.bin, "-q", "--no-progress", "verify"]),
                ("git st-convert verify --rev HEAD", [self.bin, "-q", "--no-progress", "verify", "--rev", "HEAD"]),
            ]:
                rows.run(name, command, repo, self.env())
        rows.print("verify, 1.345 GB in 400 tensors", "openssl dgst -sha256, the checkpoint")

    def scan(self):
        """Measures the scan of 200 checkpoints, next to picklescan."""
        rows, tree = Rows(), self.dir / "tree"
        tree.mkdir()
        for n in range(10 if self.smoke else 200):
            checkpoint(tree / f"{n}.bin", 40, 1_000_000)
        picklescan = pathlib.Path(sys.executable).with_name("picklescan")
        for _ in range(self.rounds):
            rows.run("git st-convert scan", [self.bin, "-q", "scan", tree], self.dir, fine=1)
            if picklescan.exists():
                rows.run("picklescan", [picklescan, "--path", tree], self.dir)
        rows.print("200 checkpoints of 1 MB", "git st-convert scan")

    def start(self):
        """Measures commands that have little to do, next to those of git."""
        small = self.converted(self.size(0.001)).rename(self.dir / "small")
        files = self.dir / "files"
        self.git("init", "-q", "-b", "main", str(files), cwd=self.dir)
        for n in range(100 if self.smoke else 20_000):
            file = files / f"{n % 200}" / f"{n}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"line {n}\n" * 8)
        self.git("add", ".", cwd=files)
        self.git("commit", "-q", "-m", "files", cwd=files)
        self.kept = set()
        many = self.dir / "many"
        self.git("init", "-q", "-b", "main", str(many), cwd=self.dir)
        (many / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        for n in range(10 if self.smoke else 200):
            (many / f"{n}").mkdir()
            checkpoint(many / f"{n}/pytorch_model.bin", 20, 100_000)
        self.git("lfs", "install", "--local", cwd=many)
        self.git("add", ".", cwd=many)
        self.git("commit", "-q", "-m", "checkpoints", cwd=many)
        subprocess.run([self.bin, "-q", "--commit"], cwd=many, env=self.env(), check=True, stdout=subprocess.DEVNULL)
        time.sleep(2)  # git reads files again whose time is not older than that of the index.
        for repo in (small, files, many):
            self.git("update-index", "-q", "--really-refresh", cwd=repo)
        for title, repo, ours, git in [
            ("the start", small, ["-V"], ["--version"]),
            ("a small repository", small, ["-qn"], ["status"]),
            ("a small repository", small, ["status"], ["status"]),
            ("20,000 files", files, ["-qn"], ["status"]),
            ("20,000 files", files, ["status"], ["status"]),
            ("200 converted checkpoints", many, ["-q"], ["status"]),
            ("200 converted checkpoints", many, ["status"], ["status"]),
        ]:
            rows = Rows()
            for _ in range(3 * self.rounds):
                rows.run(f"git {' '.join(git)}", ["git", *git], repo, self.env())
                rows.run(f"git st-convert {' '.join(ours)}", [self.bin, *ours], repo, self.env())
            rows.print(title, f"git {' '.join(git)}")

    def large(self):
        """Measures 12 GB in one file and in eight shards, next to 1.3 GB."""
        run = lambda rows, size: self.repeated(rows, 1, 400, self.size(size), "--pointer-only")
        self.series("one checkpoint, --pointer-only", "GB", [1.345, 12], run)
        run = lambda rows, size: self.repeated(rows, 8, 400, self.size(size), "--pointer-only")
        self.series("eight shards, --pointer-only", "GB", [1.345, 12], run)

    def index(self):
        """Measures a sharded checkpoint by the number of tensors in its shard index."""
        counts = [400, 800] if self.smoke else [50_000, 100_000, 200_000]
        run = lambda rows, count: self.repeated(rows, 8, count, count * 400)
        self.series("eight shards, tensors of 400 bytes", "entries of the shard index", counts, run)

    def sizes(self):
        """Measures one checkpoint by its size; its safetensors file is only written to the LFS storage."""
        run = lambda rows, size: self.repeated(rows, 1, 400, self.size(size), "--pointer-only")
        points = self.series("one checkpoint, --pointer-only", "GB", [0.33, 0.67, 1.34, 2.68], run)
        self.found["sizes"] = ("seconds by GB, one checkpoint, --pointer-only", "GB", points)

    def tensors(self):
        """Measures one checkpoint by its number of tensors, of 400 bytes each."""
        counts = [200, 400] if self.smoke else [12_500, 25_000, 50_000, 100_000]
        run = lambda rows, count: self.repeated(rows, 1, count, count * 400)
        points = self.series("tensors of 400 bytes", "tensors", counts, run)
        self.found["tensors"] = ("seconds by tensors of 400 bytes", "tensors", points)

    def jobs(self):
        """Measures eight shards by the number of files that are converted at once."""
        repo = self.model(8, 400, self.size(1.345))
        counts = [n for n in (1, 2, 4, 8) if n <= (os.cpu_count() or 1) or n == 1]
        taken = {count: Rows() for count in counts}
        for _ in range(self.rounds):
            for count, rows in taken.items():
                self.convert(rows, "ours", repo, f"-j{count}")
        shutil.rmtree(repo)
        run = lambda rows, count: vars(rows).update(vars(taken[count]))
        points = self.series(f"eight shards, {os.cpu_count()} processors", "files at once", counts, run)
        self.found["jobs"] = ("seconds by files at once, eight shards of 1.3 GB", "files at once", points)

    def shards(self):
        """Measures eight shards and one file with the same number of bytes, in the same rounds."""
        rows = Rows()
        one = self.model(1, 400, self.size(1.345)).rename(self.dir / "one")
        kept_one = {path for path in (one / ".git/lfs/objects").rglob("*") if path.is_file()}
        eight = self.model(8, 400, self.size(1.345))
        kept_eight = self.kept
        for _ in range(self.rounds):
            for name, repo, kept in [("one file", one, kept_one), ("eight shards", eight, kept_eight)]:
                self.kept = kept
                self.convert(rows, name, repo)
        rows.print("eight shards beside one file of the same bytes, in a repository", "one file")
        shutil.rmtree(one)
        shutil.rmtree(eight)


def has_safetensors():
    try:
        import safetensors.torch  # noqa: F401
    except ImportError:
        return False
    return True


def plot(path, title, unit, points):
    """Writes an SVG plot of the medians, with a bar from the minimum to the maximum."""
    width, height, left, bottom = 480, 280, 60, 40
    most_x, most_y = max(point[0] for point in points) * 1.05, max(point[3] for point in points) * 1.1
    x = lambda value: left + value / most_x * (width - left - 20)
    y = lambda value: height - bottom - value / most_y * (height - bottom - 40)
    text = lambda at, down, what, anchor="middle": (
        f'<text x="{at:.0f}" y="{down:.0f}" text-anchor="{anchor}">{what}</text>'
    )
    parts = [text(width / 2, 20, title), text(width / 2, height - 6, unit)]
    parts.append(f'<path d="M{left} 30V{height - bottom}H{width - 20}" fill="none" stroke="currentColor"/>')
    for step in range(1, 5):
        value = most_y / 1.1 * step / 4
        parts.append(text(left - 6, y(value) + 4, f"{value:.2g}", "end"))
        parts.append(f'<path d="M{left} {y(value):.1f}H{width - 20}" stroke="currentColor" opacity="0.15"/>')
    line = " ".join(f"{x(value):.1f},{y(median):.1f}" for value, _, median, _ in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>')
    for value, least, median, most in points:
        parts.append(f'<path d="M{x(value):.1f} {y(least):.1f}V{y(most):.1f}" stroke="#2563eb"/>')
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y(median):.1f}" r="3.5" fill="#2563eb"/>')
        parts.append(text(x(value), height - bottom + 16, f"{value:,}"))
    style = "font: 12px sans-serif; color: #6b7280; fill: currentColor; background: none"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{style}">'
    path.write_text("\n".join([head, *parts, "</svg>", ""]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--dir", default="/tmp", help="where files are made and removed again; 8 GB, for large 50 GB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--plots", type=pathlib.Path, help="the directory of the plots")
    parser.add_argument("tables", nargs="*", default=["start", "plain", "verify", "scan", "shards", "sizes", "tensors", "jobs"])
    args = parser.parse_args()
    bench = Bench(args)
    load = os.getloadavg()[0]
    print(f"{bench.rounds} rounds, {os.cpu_count()} processors, a load of {load:.1f} at the start")
    try:
        for table in args.tables:
            bench.dir.mkdir(parents=True)
            getattr(bench, table)()
            shutil.rmtree(bench.dir)
    finally:
        shutil.rmtree(bench.dir, ignore_errors=True)
    for name, (title, unit, points) in bench.found.items():
        if args.plots and not args.smoke:
            args.plots.mkdir(parents=True, exist_ok=True)
            plot(args.plots / f"{name}.svg", title, unit, points)


main()
