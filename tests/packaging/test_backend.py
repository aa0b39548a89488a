#!/usr/bin/env python3
"""Test when the build backend uses a published wheel, and when it builds one; nothing is downloaded or built here.

How: python tests/packaging/test_backend.py
"""

import importlib
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / ".packaging"))
backend = importlib.import_module("backend")


def environment(**variables):
    return unittest.mock.patch.dict(os.environ, variables, clear=True)


class Requirements(unittest.TestCase):
    def required(self, environment_of_hook, published=False, settings=None):
        with environment(VIRTUAL_ENV=environment_of_hook, PATH=os.environ["PATH"]):
            with unittest.mock.patch.object(backend, "published_wheel", lambda: published):
                return backend.get_requires_for_build_wheel(settings)

    def test_a_clone_of_a_person_is_built_whatever_is_published(self):
        for directory in ["", "/", str(ROOT / ".venv"), str(ROOT.parent / "py_env-python3.11"), str(ROOT / "deep/py_env-python3")]:
            self.assertIn(backend.MATURIN, self.required(directory, published=True), directory)

    def test_the_clone_of_pre_commit_takes_the_published_wheel_and_builds_without_one(self):
        self.assertEqual(self.required(str(ROOT / "py_env-python3.11"), published=True), [])
        self.assertIn(backend.MATURIN, self.required(str(ROOT / "py_env-python3.11"), published=False))

    def test_zig_is_required_when_it_is_asked_for_in_any_of_the_ways_of_maturin(self):
        for settings in [{"build-args": "--zig"}, {"build-args": ["--zig", "--strip"]}, {"maturin.build-args": "-v --zig"}]:
            self.assertIn("ziglang", self.required("", settings=settings), settings)
        for settings in [None, {}, {"build-args": ["--strip"]}, {"maturin.build-args": "", "build-args": "--zig"}]:
            self.assertNotIn("ziglang", self.required("", settings=settings), settings)
        with environment(PATH=os.environ["PATH"], MATURIN_PEP517_ARGS="--zig"):
            self.assertIn("ziglang", backend.get_requires_for_build_wheel())

    def test_a_toolchain_is_required_only_where_there_is_none(self):
        with environment(PATH="/nowhere"):
            self.assertIn("puccinialin", backend.get_requires_for_build_wheel())
        with tempfile.TemporaryDirectory() as directory:
            cargo = pathlib.Path(directory, "cargo")
            cargo.touch(mode=0o755)
            with environment(PATH=directory):
                self.assertNotIn("puccinialin", backend.get_requires_for_build_wheel())


class Wheels(unittest.TestCase):
    def test_what_was_published_is_handed_on_as_it_is(self):
        with tempfile.TemporaryDirectory() as name, environment(VIRTUAL_ENV=str(ROOT / "py_env-python3.11")):
            published, out = pathlib.Path(name, "published"), pathlib.Path(name, "out")
            published.mkdir()
            out.mkdir()
            (published / "git_st_convert-9-py3-none-any.whl").write_bytes(b"a wheel")
            with unittest.mock.patch.object(backend, "PUBLISHED", published):
                self.assertEqual(backend.build_wheel(str(out)), "git_st_convert-9-py3-none-any.whl")
            self.assertEqual((out / "git_st_convert-9-py3-none-any.whl").read_bytes(), b"a wheel")

    def test_the_program_of_a_wheel_is_found_on_each_system(self):
        for program in ["git-st-convert", "git-st-convert.exe"]:
            with tempfile.TemporaryDirectory() as name:
                wheel = pathlib.Path(name, "a.whl")
                with zipfile.ZipFile(wheel, "w") as archive:
                    archive.writestr("git_st_convert-1.data/data/share/man/man1/git-st-convert.1", "page")
                    archive.writestr(f"git_st_convert-1.data/scripts/{program}", "program")
                found = backend.program_of(wheel)
                self.assertEqual((found.name, found.read_text()), (program, "program"))
                self.assertTrue(os.access(found, os.X_OK))


if __name__ == "__main__":
    unittest.main()
