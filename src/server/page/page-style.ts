/** The one style of the page: light and dark by the visitor's choice, from 320 px up. */
export const pageStyle = `
:root{color-scheme:light dark;--ground:#f6f7f6;--sheet:#fff;--ink:#171b1a;--soft:#525c59;--line:#d9dedb;--code:#eef2f0;--accent:#0b6b62;--on-accent:#fff;--good:#11734b;--waits:#8a5800;--bad:#b3261e;--area:#0b6b6226}
@media (prefers-color-scheme:dark){:root{--ground:#101413;--sheet:#181d1c;--ink:#e9eeec;--soft:#a3afab;--line:#303937;--code:#0d1110;--accent:#56d0c0;--on-accent:#04211d;--good:#5fd39a;--waits:#f0b54d;--bad:#ff8f85;--area:#56d0c026}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;padding:0 1rem 3rem;background:var(--ground);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:46rem;margin:0 auto}
header{padding:3rem 0 .5rem}
h1{font-size:clamp(1.9rem,6vw,2.7rem);line-height:1.1;letter-spacing:-.025em;margin:.1rem 0 .9rem}
h2{font-size:1.3rem;letter-spacing:-.01em;margin:0 0 1rem}
h3{font-size:1rem;margin:0 0 .4rem}
p{margin:0 0 .8rem}
.kind{margin:0;color:var(--accent);font-weight:650;font-size:.8rem;letter-spacing:.09em;text-transform:uppercase}
.lead{font-size:1.08rem;color:var(--soft);max-width:40rem}
.aside,.notes{color:var(--soft);font-size:.9rem}
.health{display:flex;align-items:baseline;gap:.6rem;font-weight:600}
.dot{flex:none;width:.62rem;height:.62rem;border-radius:50%;background:currentColor}
.health[data-state=good] .dot,.state-good{color:var(--good)}
.health[data-state=waits] .dot,.state-waits{color:var(--waits)}
.health[data-state=bad] .dot,.state-bad{color:var(--bad)}
section{background:var(--sheet);border:1px solid var(--line);border-radius:14px;padding:1.5rem;margin-top:1.25rem}
section:focus{outline:none}
.steps{list-style:none;counter-reset:step;margin:0;padding:0}
.steps>li{counter-increment:step;position:relative;padding:0 0 1.1rem 2.6rem}
.steps>li:last-child{padding-bottom:0}
.steps>li::before{content:counter(step);position:absolute;left:0;top:-.1rem;width:1.75rem;height:1.75rem;border-radius:50%;background:var(--code);border:1px solid var(--line);color:var(--accent);font-weight:650;font-size:.9rem;display:grid;place-items:center}
code,pre{font-family:ui-monospace,"SF Mono","Cascadia Code",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.87em}
:not(pre)>code{background:var(--code);border-radius:4px;padding:.1em .3em}
.copyable{display:flex;align-items:flex-start;margin:0 0 .9rem;background:var(--code);border:1px solid var(--line);border-radius:9px}
pre{flex:1;min-width:0;margin:0;padding:.85rem 1rem;line-height:1.5;white-space:pre-wrap}
pre code{font-size:inherit}
#address{font-size:1rem;font-weight:600}
button{font:inherit;font-size:.9rem;font-weight:600;min-height:2.4rem;padding:.3rem .95rem;border-radius:8px;border:1px solid var(--line);background:var(--sheet);color:var(--ink);cursor:pointer}
button:hover{border-color:var(--accent)}
.copy{flex:none;margin:.42rem .42rem .42rem 0;min-width:4.6rem;min-height:2.1rem;padding:.1rem .75rem;font-size:.82rem;color:var(--accent)}
#watch{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.clients{border:1px solid var(--line);border-radius:10px;overflow:hidden}
details+details{border-top:1px solid var(--line)}
summary{padding:.72rem 1rem;font-weight:600;cursor:pointer;list-style:none;display:flex;justify-content:space-between;align-items:center}
summary::-webkit-details-marker{display:none}
summary::after{content:"";width:.5rem;height:.5rem;border:solid var(--soft);border-width:0 2px 2px 0;transform:rotate(45deg) translate(-2px,-2px);flex:none}
details[open]>summary::after{transform:rotate(225deg) translate(-2px,-2px)}
summary:hover{background:var(--code)}
summary:focus-visible{outline-offset:-3px;border-radius:9px}
.client{padding:.2rem 1rem 1rem}
.client>:last-child{margin-bottom:0}
.notes{margin:.2rem 0 0;padding-left:1.1rem}
.notes li+li{margin-top:.35rem}
table{border-collapse:collapse;width:100%;margin:0 0 1rem;font-size:.94rem}
th,td{overflow-wrap:break-word;text-align:left;vertical-align:top;padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--soft);font-size:.84rem}
tbody th{font-weight:600}
.scrolls{overflow-x:auto;margin-bottom:1rem}
.scrolls table{margin:0}
label{display:block;font-weight:600;margin-bottom:.35rem}
.row{display:flex;gap:.6rem;margin-bottom:.6rem}
input{flex:1;min-width:0;font:inherit;padding:.45rem .8rem;min-height:2.6rem;border:1px solid var(--soft);border-radius:8px;background:var(--ground);color:var(--ink)}
#said{font-weight:600;margin:0}
#said:not(:empty){margin:.6rem 0 1rem}
.chart{height:90px;margin:0 0 1rem;border-bottom:1px solid var(--line)}
.chart svg{display:block;width:100%;height:100%}
#chart-area{fill:var(--area)}
#chart-line{fill:none;stroke:var(--accent);stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:.7rem;margin:0 0 1.5rem}
.cards div{border:1px solid var(--line);border-radius:10px;padding:.65rem .85rem;display:flex;flex-direction:column-reverse;justify-content:flex-end}
.cards dt{color:var(--soft);font-size:.84rem}
.cards dd{margin:0;font-size:1.42rem;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.3}
.cards dd small{font-size:.85rem;font-weight:500;letter-spacing:0;color:var(--soft)}
footer{color:var(--soft);font-size:.86rem;padding:1.4rem 0 0}
.skip{position:absolute;left:-9999px}
.skip:focus{left:1rem;top:.6rem;background:var(--sheet);color:var(--accent);padding:.5rem .9rem;border-radius:8px;z-index:1}
.unseen{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
[hidden]{display:none!important}
@media (max-width:32rem){body{padding:0 .75rem 2rem}header{padding-top:1.75rem}section{padding:1.1rem .95rem}.steps>li{padding-left:0}.steps>li::before{position:static;margin-bottom:.4rem}.client{padding:.2rem .75rem .9rem}.row{flex-direction:column}.copyable{flex-direction:column-reverse}pre{padding-top:.2rem;width:100%}.copy{align-self:flex-end;margin-left:.42rem;margin-bottom:0}.copyable:has(.copy[hidden]) pre{padding-top:.85rem}.cards{grid-template-columns:1fr 1fr}.cards dd{font-size:1.2rem}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@media print{.copy,#live,.skip{display:none}body{background:none}}
`;
