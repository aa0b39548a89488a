/*
 * helper FILE PROGRAM ARG...: runs a program while FILE is open as most Windows programs open files: others may read and write it, but
 * neither replace nor remove it. Exits with the exit code of the program.
 */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

static int fail(const wchar_t *what)
{
    fwprintf(stderr, L"helper: %ls: error %lu\n", what, GetLastError());
    return 99;
}

int wmain(int argc, wchar_t **argv)
{
    static wchar_t line[32768];
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION program;
    DWORD code;
    HANDLE file;
    if (argc < 3)
        return fail(L"FILE PROGRAM ARG...");
    for (int at = 2; at < argc; at++) {
        wcscat(line, L"\"");
        wcscat(line, argv[at]);
        wcscat(line, at + 1 < argc ? L"\" " : L"\"");
    }
    file = CreateFileW(argv[1], GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return fail(argv[1]);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &program))
        return fail(line);
    WaitForSingleObject(program.hProcess, INFINITE);
    GetExitCodeProcess(program.hProcess, &code);
    return (int)code;
}
