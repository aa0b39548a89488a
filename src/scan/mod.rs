//! What a pickle names: is it known to execute?
//!
//! Nothing is ever called here, so this list protects nobody who converts; it decides which files are
//! not to be trusted at all. A pair of module and name is compared exactly; a module of the list counts
//! with everything in it. What stands on no list is unknown, never clean.

use crate::checkpoint::Named;

/// Modules whose every name executes, opens, imports or reaches further.
#[rustfmt::skip]
const MODULES: &[&str] = &[
    "_aix_support", "_osx_support", "_pickle", "_posixsubprocess", "_pyrepl", "aiohttp", "asyncio",
    "bdb", "cProfile", "cloudpickle", "code", "codeop", "commands", "ctypes", "dill", "distutils",
    "doctest", "ftplib", "http", "httplib", "idlelib", "imaplib", "importlib", "lib2to3", "marshal",
    "multiprocessing", "nt", "numpy.f2py", "numpy.testing", "os", "pdb", "pickle", "pip", "pkgutil",
    "popen2", "posix", "profile", "pty", "pydoc", "requests", "runpy", "shutil", "smtplib",
    "socket", "ssl", "subprocess", "sys", "telnetlib", "test", "timeit", "torch._dynamo",
    "torch._inductor", "torch.fx.experimental", "torch.hub", "torch.jit", "torch.utils.bottleneck",
    "torch.utils.collect_env", "trace", "urllib", "urllib2", "venv", "webbrowser", "xmlrpc",
    "zipimport",
];
/// Names of the builtins that execute, open, or reach attributes.
#[rustfmt::skip]
const BUILTINS: &[&str] = &[
    "__import__", "apply", "breakpoint", "compile", "delattr", "eval", "exec", "execfile", "exit",
    "file", "getattr", "globals", "help", "input", "locals", "open", "quit", "raw_input", "reload",
    "setattr", "vars",
];
/// Names that execute or open, in modules that hold harmless ones too.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("_io", "FileIO"), ("_io", "open"), ("_operator", "attrgetter"), ("_operator", "methodcaller"),
    ("functools", "reduce"), ("io", "FileIO"), ("io", "open"), ("joblib", "load"),
    ("logging", "FileHandler"), ("logging.config", "dictConfig"), ("logging.config", "fileConfig"),
    ("numpy", "load"), ("operator", "attrgetter"), ("operator", "methodcaller"),
    ("pandas", "read_pickle"), ("platform", "popen"), ("signal", "set_wakeup_fd"),
    ("signal", "signal"), ("torch", "load"), ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"), ("types", "CodeType"), ("types", "FunctionType"),
    ("uuid", "_get_command_stdout"), ("uuid", "_popen"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_compared_exactly() {
        for (module, name) in [
            ("os", "system"),
            ("os.path", "join"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("__builtin__", "getattr"),
            ("builtins", "getattr.__call__"),
            ("torch.storage", "_load_from_bytes"),
            ("numpy.testing._private.utils", "runstring"),
        ] {
            assert!(is_dangerous(module, name), "{module}.{name}");
        }
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("builtins", "set"),
            ("osmium", "system"),
            ("my.os", "system"),
            ("torch.storage", "UntypedStorage"),
            ("functools", "partial"),
            ("io", "BytesIO"),
        ] {
            assert!(!is_dangerous(module, name), "{module}.{name}");
        }
    }
}
