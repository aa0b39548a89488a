//! What a pickle names: is it known to execute?
//!
//! Nothing is ever called here, so this list protects nobody who converts; it decides which files are
//! not to be trusted at all. A pair of module and name is compared exactly; a module of the list counts
//! with everything in it. What stands on no list is unknown, never clean.

use crate::checkpoint::Named;

/// Modules whose every name executes, opens, imports or reaches further.
const MODULES: &[&str] = &[
    "_aix_support",
    "_io",
    "_osx_support",
    "_posixsubprocess",
    "_pyrepl",
    "aiohttp",
    "asyncio",
    "bdb",
    "cProfile",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "distutils",
    "doctest",
    "ftplib",
    "functools",
    "http",
    "httplib",
    "idlelib",
    "imaplib",
    "importlib",
    "io",
    "joblib",
    "lib2to3",
    "logging",
    "marshal",
    "multiprocessing",
    "nt",
    "numpy.f2py",
    "numpy.testing",
    "operator",
    "_operator",
    "os",
    "pdb",
    "pickle",
    "_pickle",
    "pip",
    "pkgutil",
    "platform",
    "popen2",
    "posix",
    "profile",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "shlex",
    "shutil",
    "signal",
    "site",
    "smtplib",
    "socket",
    "ssl",
    "subprocess",
    "sys",
    "telnetlib",
    "tempfile",
    "test",
    "threading",
    "timeit",
    "trace",
    "types",
    "urllib",
    "urllib2",
    "uuid",
    "venv",
    "webbrowser",
    "xmlrpc",
    "zipimport",
    "torch._dynamo",
    "torch.hub",
    "torch.jit",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.data.datapipes",
    "torch.fx.experimental",
    "torch._inductor",
];
/// Names of the builtins that execute, open, or reach attributes.
const BUILTINS: &[&str] = &[
    "__import__",
    "apply",
    "breakpoint",
    "compile",
    "delattr",
    "eval",
    "exec",
    "execfile",
    "exit",
    "file",
    "getattr",
    "globals",
    "help",
    "input",
    "locals",
    "open",
    "quit",
    "raw_input",
    "reload",
    "setattr",
    "vars",
];
/// Other single names.
const NAMES: &[(&str, &str)] = &[
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("numpy", "load"),
    ("pandas", "read_pickle"),
];

/// The first of the names that is known to execute.
pub fn dangerous(globals: &[Named]) -> Option<&Named> {
    globals.iter().find(|named| is_dangerous(&named.module, &named.name))
}

/// Is the name known to execute?
pub fn is_dangerous(module: &str, name: &str) -> bool {
    let builtins = matches!(module, "builtins" | "__builtin__" | "__builtins__");
    let first = name.split('.').next().unwrap_or(name);
    let inside = |listed: &&str| {
        module.strip_prefix(*listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    (builtins && BUILTINS.contains(&first)) || NAMES.contains(&(module, name)) || MODULES.iter().any(inside)
}
