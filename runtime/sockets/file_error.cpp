// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/file_error.hpp"

#include "fluxnet/runtime/sockets/detail/call_error.hpp"

#include <cerrno>
#include <utility>

#include <sys/stat.h>

namespace fluxnet::detail {
namespace {

/// What the user can do about an errno.
const char* remedy_for(int number) noexcept {
    switch (number) {
        case ENOENT: return "check the path; a file that is to be made needs the option create, and its directory";
        case EACCES:
        case EPERM: return "check the permissions of the file and of the directories on its path (namei -l shows them)";
        case EEXIST: return "choose another name, or leave out the option exclusive";
        case EISDIR: return "name a file: a directory cannot be written to";
        case ENOTDIR: return "check the path: a part of it is not a directory";
        case ELOOP: return "check the symbolic links on the path";
        case ENAMETOOLONG: return "use a shorter path";
        case ENOSPC:
        case EDQUOT: return "free room on the disk (df shows it), or raise the quota";
        case EROFS: return "the file system is mounted to be read only";
        case ETXTBSY: return "the file is a program that is running: write another file and rename it";
        case EAGAIN: return "another program holds a lease on the file: try again";
        case ENXIO: return "nobody reads from the other end, or there is no such device";
        case EBADF: return "give a descriptor that is open";
        case EINVAL: return "check the options against the file system: it does not know one of them";
        default: return general_remedy(number);
    }
}

}  // namespace

error file_error(int number, std::string step) {
    return call_error(number, std::move(step), remedy_for(number));
}

const char* kind_of_file(unsigned mode) noexcept {
    switch (mode & S_IFMT) {
        case S_IFREG: return "a regular file";
        case S_IFDIR: return "a directory";
        case S_IFBLK: return "a block device";
        case S_IFCHR: return "a terminal or another device without positions";
        case S_IFIFO: return "a pipe";
        case S_IFSOCK: return "a socket";
        default: return "an object of the kernel's";
    }
}

}  // namespace fluxnet::detail
