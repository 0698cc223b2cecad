"""Groups of commands whose help lists each command by a whole sentence."""

import click

__all__ = ["Group"]


class Group(click.Group):
    """Click's group, without its cut: click ends a long line with three dots, this one folds it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands, each with the first sentence of its help."""
        commands = (self.get_command(ctx, name) for name in self.list_commands(ctx))
        rows = [
            (command.name or "", command.get_short_help_str(limit=1000))
            for command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
