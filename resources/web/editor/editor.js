// The editor's page: Monaco, told what to show by the window and telling it every change. Holds no truth of its own:
// the window keeps the text of every open file (app/core/documents.py), so this page may die at any time.
'use strict';

const models = new Map();      // path -> {model, viewState}
let bridge = null;
let editor = null;
let diffEditor = null;
let current = null;
let silent = false;            // true while the window's own text is put in, which is not an edit
let pending = new Map();       // path -> changes not sent yet
let flushTimer = 0;

function languageOf(path) {
  const extension = path.slice(path.lastIndexOf('.') + 1).toLowerCase();
  const known = { html: 'html', htm: 'html', js: 'javascript', mjs: 'javascript', ts: 'typescript', css: 'css',
    json: 'json', md: 'markdown', py: 'python', glsl: 'cpp', svg: 'xml', xml: 'xml', txt: 'plaintext' };
  return known[extension] || 'plaintext';
}

function flush() {
  clearTimeout(flushTimer);
  flushTimer = 0;
  for (const [path, batches] of pending) bridge.edited(path, JSON.stringify(batches));
  pending.clear();
}

function queueChange(path, event) {
  if (silent) return;
  const batch = event.changes.map((change) => [change.rangeOffset, change.rangeLength, change.text]);
  if (!pending.has(path)) pending.set(path, []);
  pending.get(path).push(batch);
  if (!flushTimer) flushTimer = setTimeout(flush, 30);
}

const api = {
  open(path, text) {
    if (!models.has(path)) {
      const model = monaco.editor.createModel(text, languageOf(path), monaco.Uri.from({ scheme: 'project', path: '/' + path }));
      model.setEOL(monaco.editor.EndOfLineSequence.LF);
      model.onDidChangeContent((event) => queueChange(path, event));
      models.set(path, { model, viewState: null });
    } else {
      api.setText(path, text);
    }
  },
  show(path) {
    const entry = models.get(path);
    if (!entry) return;
    if (current && models.has(current)) models.get(current).viewState = editor.saveViewState();
    current = path;
    api.closeDiff();
    editor.setModel(entry.model);
    if (entry.viewState) editor.restoreViewState(entry.viewState);
  },
  close(path) {
    const entry = models.get(path);
    if (!entry) return;
    models.delete(path);
    pending.delete(path);
    entry.model.dispose();
    if (current === path) current = null;
  },
  setText(path, text) {
    const entry = models.get(path);
    if (!entry || entry.model.getValue() === text) return;
    silent = true;             // one edit operation, so that Undo gives back what was there
    entry.model.pushEditOperations([], [{ range: entry.model.getFullModelRange(), text }], () => null);
    entry.model.pushStackElement();
    silent = false;
  },
  reveal(line, column) {
    editor.revealLineInCenter(line);
    editor.setPosition({ lineNumber: line, column: column || 1 });
    editor.focus();
  },
  select(start, end) {
    const model = editor.getModel();
    if (!model) return;
    const from = model.getPositionAt(start), to = model.getPositionAt(end);
    editor.setSelection(new monaco.Selection(from.lineNumber, from.column, to.lineNumber, to.column));
    editor.revealRangeInCenterIfOutsideViewport(editor.getSelection());
  },
  run(action) {
    editor.focus();
    editor.trigger('window', action, null);
  },
  showDiff(path, before, after) {
    if (!diffEditor) {
      diffEditor = monaco.editor.createDiffEditor(document.getElementById('diff'),
        { ...options, readOnly: true, originalEditable: false, renderSideBySide: true, renderOverviewRuler: false, useInlineViewWhenSpaceIsLimited: true });
    }
    const old = diffEditor.getModel();
    diffEditor.setModel({
      original: monaco.editor.createModel(before, languageOf(path)),
      modified: monaco.editor.createModel(after, languageOf(path)),
    });
    if (old) { old.original.dispose(); old.modified.dispose(); }
    document.body.classList.add('reading-diff');
  },
  closeDiff() { document.body.classList.remove('reading-diff'); },
  setTheme(theme) {
    monaco.editor.defineTheme('expertarium', theme);
    monaco.editor.setTheme('expertarium');
    document.body.style.setProperty('--background', theme.colors['editor.background']);
  },
  setFont(family, size) { editor.updateOptions({ fontFamily: family, fontSize: size }); },
  flush,
};

const options = {
  automaticLayout: true, minimap: { enabled: false }, fontSize: 12, lineHeight: 18, tabSize: 2, scrollBeyondLastLine: false,
  smoothScrolling: false, renderLineHighlight: 'line', overviewRulerBorder: false, fixedOverflowWidgets: true,
  padding: { top: 8, bottom: 8 }, lineNumbersMinChars: 4, 'bracketPairColorization.enabled': false,
  accessibilitySupport: 'auto', scrollbar: { verticalScrollbarSize: 10, horizontalScrollbarSize: 10 },
};

function start(channel) {
  bridge = channel.objects.bridge;
  editor = monaco.editor.create(document.getElementById('editor'), { ...options, model: null });
  editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.KeyS, () => { flush(); bridge.save(); });
  editor.onDidChangeCursorSelection((event) => {
    const model = editor.getModel();
    if (!model || !current) return;
    const from = model.getOffsetAt(event.selection.getStartPosition());
    const to = model.getOffsetAt(event.selection.getEndPosition());
    bridge.selected(current, from, to, event.selection.positionLineNumber, event.selection.positionColumn);
  });
  window.api = api;
  bridge.ready();
}

require.config({ paths: { vs: location.origin === 'null' ? '/vs' : location.origin + '/vs' } });
require(['vs/editor/editor.main'], () => new QWebChannel(qt.webChannelTransport, start));
