"""What the composition root hands to the window: services, models, and makers of the panes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.history import History
from app.core.snapshots import SnapshotStore
from app.core.wire import Sampling
from app.models.chats import ConversationsModel
from app.models.files import ProjectFilesModel
from app.models.problems import ProblemsModel
from app.panes.editor.pane import EditorPane
from app.panes.inspector.pages import InspectorPage
from app.panes.preview.pane import PreviewPane
from app.paths import DataPaths
from app.services.chat_session import ChatSession
from app.services.engine_process import EngineProcess
from app.settings import Settings, WindowState
from app.theme.theme import Theme

if TYPE_CHECKING:  # imported by the makers, when the pane is first needed: Jupyter costs start-up time
    from app.panes.console import ConsolePane
    from app.panes.inspector.pane import InspectorPane


def sampling_of(settings: Settings) -> Sampling:
    """How answers are drawn, as the settings say: a seed of -1 is a new one each time, a length of 0 what fits."""
    seed, limit = settings.whole("seed"), settings.whole("max_tokens")
    return Sampling(
        temperature=settings.number("temperature"),
        top_p=settings.number("top_p"),
        seed=seed if seed >= 0 else None,
        max_tokens=limit or None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything the window is made of. Makers are called once, when their pane is first needed."""

    theme: Theme
    settings: Settings
    window_state: WindowState
    paths: DataPaths
    history: History
    snapshots: SnapshotStore
    engine: EngineProcess
    chats: ConversationsModel
    files: ProjectFilesModel
    problems: ProblemsModel
    make_session: Callable[[], ChatSession]
    make_editor: Callable[[], EditorPane]
    make_preview: Callable[[], PreviewPane]
    inspector_pages: Sequence[InspectorPage]
    make_inspector: "Callable[[], InspectorPane]"
    make_console: "Callable[[], ConsolePane]"
