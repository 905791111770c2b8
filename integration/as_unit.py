"""Runs a program confined as a systemd unit would: as_unit.py UNIT USER PROGRAM [ARGUMENT]...

What needs a running systemd (namespaces, read-only file systems, cgroups) is left out. USER is the
account to change to, which takes root; "-" stays who we are.
"""

import ctypes
import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ = 4, 7
PROT_WRITE_AND_EXEC = 2 | 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


def read_unit(path):
    """Its settings as (section, key, value), in order; a key may come several times."""
    section, settings = None, []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            settings.append((section, key, value))
    return settings


def values(unit, key, section="Service"):
    return [value for s, k, value in unit if (s, k) == (section, key)]


def system_call_sets():
    """systemd's own sets of system calls: {"@name": members, which may be sets}."""
    listing = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"],
                             capture_output=True, text=True, check=True).stdout
    sets = {}
    for line in listing.splitlines():
        if line.startswith("@"):
            members = sets[line.strip()] = []
        elif line.strip() and not line.strip().startswith("#") and sets:
            members.append(line.strip())
    return sets


def expand(names, sets):
    out = set()
    for name in names:
        out |= expand(sets[name], sets) if name.startswith("@") else {name}
    return out


def allowed_calls(unit, sets):
    """What SystemCallFilter= leaves; systemd always allows @default, as exec needs it."""
    allowed = expand(["@default"], sets)
    for value in values(unit, "SystemCallFilter"):
        names = expand(value.lstrip("~").split(), sets)
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """A seccomp filter that kills the process at any system call but those allowed."""

    def __init__(self):
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p(self.lib.seccomp_init(ctypes.c_uint32(SCMP_ACT_KILL_PROCESS)))

    def add(self, action, call, *comparisons):
        number = self.lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return  # not of this architecture
        array = (Comparison * len(comparisons))(*comparisons)
        failed = self.lib.seccomp_rule_add_array(self.handle, ctypes.c_uint32(action), number,
                                                 len(comparisons), array)
        if failed:
            raise OSError(-failed, f"seccomp rule for {call}: {os.strerror(-failed)}")

    def load(self):
        failed = self.lib.seccomp_load(self.handle)
        if failed:
            raise OSError(-failed, f"seccomp_load: {os.strerror(-failed)}")


def restrict_system_calls(unit):
    calls = Filter()
    special = {"socket", "mmap", "mprotect"}
    for call in allowed_calls(unit, system_call_sets()) - special:
        calls.add(SCMP_ACT_ALLOW, call)
    families = [FAMILIES[f] for f in " ".join(values(unit, "RestrictAddressFamilies")).split()]
    for family in range(64):
        action = SCMP_ACT_ALLOW if family in families else SCMP_ACT_ERRNO | errno.EAFNOSUPPORT
        calls.add(action, "socket", Comparison(0, SCMP_CMP_EQ, family, 0))
    for call in ("mmap", "mprotect"):
        if values(unit, "MemoryDenyWriteExecute") != ["yes"]:
            calls.add(SCMP_ACT_ALLOW, call)
            continue
        for allowed in (0, 2, 4):
            calls.add(SCMP_ACT_ALLOW, call,
                      Comparison(2, SCMP_CMP_MASKED_EQ, PROT_WRITE_AND_EXEC, allowed))
        calls.add(SCMP_ACT_ERRNO | errno.EPERM, call,
                  Comparison(2, SCMP_CMP_MASKED_EQ, PROT_WRITE_AND_EXEC, PROT_WRITE_AND_EXEC))
    calls.load()


def give_up_privileges(unit, user):
    libc = ctypes.CDLL(None, use_errno=True)
    if user != "-":
        account = pwd.getpwnam(user)
        if values(unit, "CapabilityBoundingSet") == [""]:
            capability = 0
            while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
                capability += 1
        os.setgroups([])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")


def main():
    unit_path, user, *command = sys.argv[1:]
    unit = read_unit(unit_path)
    os.umask(int(values(unit, "UMask")[-1], 8))
    give_up_privileges(unit, user)
    restrict_system_calls(unit)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
