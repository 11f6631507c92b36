# SPDX-License-Identifier: Apache-2.0
"""One module per task; what users call is offered by `monai_semigan` itself.

(Modules have other names than functions: importing a module would otherwise hide the function of its name.)
"""
