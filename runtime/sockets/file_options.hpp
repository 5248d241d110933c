// SPDX-License-Identifier: BSD-3-Clause
// `file_options`: how a file is to be opened.
//
//     const file_options log{.read = false, .write = true, .append = true, .create = true};
//
// Plain values.
#pragma once

namespace fluxnet {

struct file_options {
    bool read = true;
    bool write = false;
    bool append = false;           ///< All that is written goes to the end, wherever it is asked to go. Needs `write`.
    bool create = false;           ///< Makes the file if there is none. Needs `write`.
    bool exclusive = false;        ///< Fails if there is one (EEXIST). Needs `create`.
    bool truncate = false;         ///< Empties it. Needs `write`.
    unsigned permissions = 0666U;  ///< Of a file that is made; those of the process's umask are taken off.
};

}  // namespace fluxnet
