"""`camiohookd restore`: check a backup, tell what would change, and put its files in their places."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.backup.backup_command import box, passphrase_option, read_passphrase
from camiohookd.cli.settings import config_option

if TYPE_CHECKING:
    from camiohookd.cli.backup.restoring import RestorePlan


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False))
@click.option("--dry-run", is_flag=True, help="Only check the backup, and tell what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--replace-queue", is_flag=True, help="Replace the queue even if that deletes events that wait here.")
@passphrase_option
@config_option
def restore(
    file: Path, dry_run: bool, yes: bool, replace_queue: bool, passphrase_file: str | None, config_file: Path | None
) -> None:
    """Restore what "camiohookd backup" saved in FILE, on the same box or on another one.

    Everything in FILE is checked first. Then this tells what would change, and asks. Files that are not in the backup
    stay. If the backup holds a queue, that replaces the one here; stop the service before.

    \b
    Examples:
      sudo camiohookd restore box.backup --dry-run
      sudo camiohookd restore box.backup
    """
    from camiohookd.cli.backup import placing, restoring
    from camiohookd.cli.setup import apply

    here = box(config_file)
    apply.check_writable(here.settings)
    with restoring.opened(file, lambda: read_passphrase(passphrase_file)) as backup:
        plan = restoring.plan_restore(backup, here)
        _tell(plan, here.settings.parent, here.state)
        if dry_run:
            click.echo("Nothing was changed (--dry-run).")
            return
        if not yes:
            click.confirm("Restore this?", abort=True, err=True)
        placing.restore(backup, plan, here, replace_queue=replace_queue)
    click.echo("Restored. Start the service with it: sudo systemctl restart camiohookd")


def _tell(plan: "RestorePlan", settings: Path, state: Path) -> None:
    made = plan.manifest
    click.echo(f"Made by camiohookd {made.version} at {made.made}. Settings go to {settings}, the rest to {state}.")
    for word, entries in (("new", plan.new), ("replaced", plan.replaced), ("the same", plan.same)):
        for entry in entries:
            click.echo(f"  {word:9} {entry.name}")
    for name in plan.kept:
        click.echo(f"  {'stays':9} {name}, which is not in the backup")
    if made.queue:
        click.echo(f"  {'replaced':9} the queue and the history, by {plan.queue_files} files")
    for path in plan.missing:
        click.echo(f"  {'missing':9} {path}, which the settings name: copy it, or make it again")
    for model in plan.models:
        click.echo(f"  {'missing':9} model {model.name}: add it again, SHA-256 {model.sha256}")
